-- name: add_organisation
insert into organisations (id) values (%(org_id)s) on conflict do nothing

-- name: add_recording
insert into recordings (id, org_id, sha256, size_bytes, kind, title, language, partition_key,
    suffix, speakers)
values (%(id)s, %(org_id)s, %(sha256)s, %(size_bytes)s, %(kind)s, %(title)s, %(language)s,
    %(partition_key)s, %(suffix)s, %(speakers)s)
on conflict (org_id, sha256) do nothing
returning id

-- name: same_bytes
select id, org_id, sha256, size_bytes, kind, title, language, partition_key, suffix,
    transcriber, writer, speakers
from recordings
where org_id = %(org_id)s and sha256 = %(sha256)s

-- name: recordings
select id, org_id, sha256, size_bytes, kind, title, language, partition_key, suffix,
    transcriber, writer, speakers
from recordings
where id = any(%(ids)s) order by id

-- name: by_prefix
-- Recordings of an organisation whose id or partition key begins with a text.
select id, org_id, sha256, size_bytes, kind, title, language, partition_key, suffix,
    transcriber, writer, speakers
from recordings
where org_id = %(org_id)s
  and (starts_with(id::text, %(prefix)s) or starts_with(partition_key, %(prefix)s))
order by id
limit %(limit)s

-- name: by_partition_keys
select id, org_id, sha256, size_bytes, kind, title, language, partition_key, suffix,
    transcriber, writer, speakers
from recordings
where partition_key = any(%(keys)s) order by id

-- name: engine_selections
select distinct org_id, kind, transcriber, writer from recordings
order by org_id, kind, transcriber nulls first, writer nulls first

-- name: select_engine
update recordings set
    transcriber = case when %(stage)s = 'transcript' then %(engine)s else transcriber end,
    writer = case when %(stage)s = 'document' then %(engine)s else writer end
where org_id = %(org_id)s and id = %(id)s

-- name: pending
select r.id, r.org_id, r.sha256, r.size_bytes, r.kind, r.title, r.language, r.partition_key, r.suffix,
    r.transcriber, r.writer, r.speakers
from recordings r
where r.stages_done < 5 and r.archived_at is null
  and not exists (select from dead_letters d where d.org_id = r.org_id and d.recording_id = r.id
                  and d.resolved_at is null)
  and not exists (select from parked p where p.org_id = r.org_id and p.recording_id = r.id)
  and not exists (select from live_results l where l.recording_id = r.id)
  and r.id <> all(%(except_ids)s)
  and (%(only_ids)s::uuid[] is null or r.id = any(%(only_ids)s))
  and (not %(unrequested)s or r.requested_at is null
       or r.requested_at < now() - least(30 * power(2, least(r.requests, 10)), 3600)
           * interval '1 second')
order by r.priority desc, r.id
limit %(limit)s

-- name: status
select id, partition_key, title, kind, status, percent, detail, duration_seconds, language, error, live,
    archived_at is not null as archived
from recording_status
where (%(org_id)s::text is null or org_id = %(org_id)s)
  and (%(ids)s::uuid[] is null or id = any(%(ids)s))
  and (%(archived)s or archived_at is null)
order by id

-- name: under_way
select id, partition_key, title, kind, status, percent, detail, duration_seconds, language, error, live,
    archived_at is not null as archived
from recording_status
where (%(org_id)s::text is null or org_id = %(org_id)s)
  and id = any(array(select recording_id from live_results))

-- name: dead_letters
select recording_id as id, org_id, stage, error_class, message, remedy, attempts
from dead_letters where resolved_at is null
order by recording_id

-- name: parked
select recording_id as id from parked

-- name: mark_requested
update recordings set requested_at = now(), requests = requests + 1 where id = any(%(ids)s)

-- name: requeue
with resolved as (
    update dead_letters set resolved_at = now()
    where org_id = %(org_id)s and recording_id = any(%(ids)s) and resolved_at is null
    returning recording_id, stage
), unparked as (
    delete from parked_recordings
    where org_id = %(org_id)s and recording_id = any(%(ids)s)
    returning recording_id, stage
), rested as (
    update recordings r set requested_at = null, requests = 0, archived_at = null
    from resolved where r.id = resolved.recording_id
)
select recording_id as id, stage from resolved
union
select recording_id, stage from unparked
order by id

-- name: backlog
select r.stages_done, count(*) as recordings, min(r.created_at) as oldest
from recordings r
where r.stages_done < 5 and r.archived_at is null
  and not exists (select from dead_letters d where d.org_id = r.org_id and d.recording_id = r.id
                  and d.resolved_at is null)
group by r.stages_done
order by r.stages_done

-- name: stored
select id, suffix from recordings order by id

-- name: unarchived_keys
select partition_key from recordings where archived_at is null order by id

-- name: archive
update recordings set archived_at = now()
where org_id = %(org_id)s and id = any(%(ids)s) and archived_at is null
returning id, title

-- name: archive_before
update recordings set archived_at = now()
where org_id = %(org_id)s and created_at < %(before)s and archived_at is null
returning id, title

-- name: unarchive
update recordings set archived_at = null, requested_at = null, requests = 0
where org_id = %(org_id)s and id = any(%(ids)s) and archived_at is not null
returning id, title

-- name: ready
select count(*) as ready from recordings where stages_done = 5

-- name: overdue
select r.id from recordings r
left join parked_recordings p on p.org_id = r.org_id and p.recording_id = r.id
where r.id = any(%(ids)s::uuid[])
  and coalesce(r.requested_at, p.until, r.created_at) < now() - %(seconds)s * interval '1 second'

-- name: release
with handed_back as (
    update recordings set requested_at = null where id = any(%(ids)s::uuid[]) returning id)
select pg_notify('playhead_pending', '') from handed_back limit 1

-- name: stages_done
select stages_done from recordings where id = %(id)s
