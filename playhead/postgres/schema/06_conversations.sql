-- Conversations: questions, answers, and the citations of each answer. A citation stores its quote
-- and times, so that it can be located again after a correction.

create table conversations (
    id uuid not null default gen_random_uuid(),
    org_id text not null references organisations,
    begun_at timestamptz not null default now(),
    primary key (id, org_id),
    unique (org_id, id)
);
create index conversations_begun on conversations (org_id, begun_at);

create table turns (
    org_id text not null,
    conversation_id uuid not null,
    ordinal integer not null,
    question text,  -- null: it mentioned a recording that was deleted
    found boolean not null,
    note text,
    engine jsonb not null,
    asked_at timestamptz not null default now(),
    primary key (org_id, conversation_id, ordinal),
    foreign key (org_id, conversation_id) references conversations (org_id, id) on delete cascade
);

create table answer_sentences (
    org_id text not null,
    conversation_id uuid not null,
    turn integer not null,
    ordinal integer not null,
    text text,  -- null: it cited a recording that was deleted
    cites integer[] not null,  -- numbers of the turn's citations
    primary key (org_id, conversation_id, turn, ordinal),
    foreign key (org_id, conversation_id, turn)
        references turns (org_id, conversation_id, ordinal) on delete cascade
);

-- Of a deleted recording only the number is left.
create table citations (
    org_id text not null,
    conversation_id uuid not null,
    turn integer not null,
    number integer not null,
    recording_id uuid,
    chunk_id uuid,  -- the chunk that was retrieved; it may have been replaced since
    quote text,
    start_seconds double precision,
    end_seconds double precision,
    primary key (org_id, conversation_id, turn, number),
    check (num_nulls(recording_id, chunk_id, quote, start_seconds, end_seconds) in (0, 5)),
    foreign key (org_id, conversation_id, turn)
        references turns (org_id, conversation_id, ordinal) on delete cascade,
    foreign key (org_id, recording_id) references recordings (org_id, id)
);
create index citations_recording on citations (org_id, recording_id);

-- Blank questions, sentences and citations of a recording before it is deleted. A title of less
-- than ten characters may occur in any question by chance.
create function blank_answers() returns trigger language plpgsql as $$
begin
    update answer_sentences s set text = null
    from citations c
    where c.org_id = old.org_id and c.recording_id = old.id and s.org_id = c.org_id
      and s.conversation_id = c.conversation_id and s.turn = c.turn and c.number = any(s.cites);
    update turns t set question = null
    where t.org_id = old.org_id and (
        exists (select from citations c
                where c.org_id = t.org_id and c.conversation_id = t.conversation_id
                  and c.turn = t.ordinal and c.recording_id = old.id)
        or length(old.title) >= 10 and strpos(lower(t.question), lower(old.title)) > 0);
    update citations
    set recording_id = null, chunk_id = null, quote = null, start_seconds = null, end_seconds = null
    where org_id = old.org_id and recording_id = old.id;
    return old;
end $$;
create trigger recordings_cited before delete on recordings
    for each row execute function blank_answers();
