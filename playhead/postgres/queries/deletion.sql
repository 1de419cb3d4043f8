-- name: phrases
select title as phrase from recordings where id = any(%(ids)s)
union
select spoken.phrase
from unnest(%(ids)s) as one (id), lateral (
    select left(segment ->> 'text', 80) as phrase
    from transcripts t, jsonb_array_elements(t.segments) as segment
    where t.recording_id = one.id
    order by length(segment ->> 'text') desc
    limit %(most)s
) as spoken

-- name: distinctive
with elsewhere as (
    select title as text from recordings where id <> all(%(ids)s)
    union all
    select text from transcripts where recording_id <> all(%(ids)s)
    union all
    select content from documents where recording_id <> all(%(ids)s)
)
select phrase from unnest(%(phrases)s::text[]) as phrase
where length(phrase) >= %(shortest)s
  and phrase ~ '\s|[^ -~]'  -- one English word may stand in Postgres's own catalogue
except
select phrase
from (select text || '' as plain from elsewhere offset 0) as texts  -- unpacked once
cross join unnest(%(phrases)s::text[]) as phrase
where strpos(plain, phrase) > 0

-- name: lock
select id from recordings where id = any(%(ids)s) order by id for update

-- name: add_tombstones
insert into deleted_recordings (recording_id, partition_key_sha256)
select id, encode(sha256(convert_to(partition_key, 'UTF8')), 'hex')
from recordings where id = any(%(ids)s)
on conflict (recording_id) do update set erased_at = null

-- name: key_hashes
select id, encode(sha256(convert_to(partition_key, 'UTF8')), 'hex') as hash
from recordings where id = any(%(ids)s)
union
select recording_id, partition_key_sha256 from deleted_recordings where recording_id = any(%(ids)s)

-- name: delete_batch_requests
delete from batch_requests d using batch_request_recordings f
where f.org_id = d.org_id and f.request_id = d.id and f.recording_id = any(%(ids)s)

-- name: delete_vectors
delete from embedding_cache e
where (e.recording_id = any(%(ids)s) or exists (
        select from chunks c
        where c.recording_id = any(%(ids)s) and c.org_id = e.org_id and c.text_hash = e.text_hash))
  and not exists (
        select from chunks c
        where c.recording_id <> all(%(ids)s) and c.org_id = e.org_id and c.text_hash = e.text_hash)

-- name: reassign_vectors
update embedding_cache e set recording_id = (
    select c.recording_id from chunks c
    where c.recording_id <> all(%(ids)s) and c.org_id = e.org_id and c.text_hash = e.text_hash
    limit 1)
where e.recording_id = any(%(ids)s)

-- name: delete
delete from recordings where id = any(%(ids)s)

-- name: deleted
select recording_id as id from deleted_recordings
where recording_id::text = any(%(ids)s::text[]) and not exists (
    select from recordings r where r.id = deleted_recordings.recording_id)

-- name: unfinished
select recording_id as id from deleted_recordings where erased_at is null order by recording_id

-- name: mark_erased
update deleted_recordings set erased_at = now() where recording_id = any(%(ids)s)
