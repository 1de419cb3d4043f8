-- What a forgotten recording leaves: its opaque id. And for whom a text was first embedded, so
-- that its vector can be forgotten with it.

create table forgotten (
    recording_id uuid primary key,
    forgotten_at timestamptz not null default now(),
    erased_at timestamptz  -- looked for everywhere, and not found
);

alter table embedding_cache add column recording_id uuid;
update embedding_cache e set recording_id = c.recording_id
from chunks c where c.org_id = e.org_id and c.text_hash = e.text_hash;
delete from embedding_cache where recording_id is null;  -- of texts that no chunk has any more
