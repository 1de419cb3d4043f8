-- name: recordings
select id::text as recording, title, kind, status, percent, detail, language, duration_seconds,
    created_at as added_at, archived_at is not null as archived
from recording_status
where org_id = current_org()
order by id

-- name: transcripts
select c.recording_id, c.result_id,
    coalesce((
        select jsonb_object_agg(n.label, n.name) from speaker_names n
        where n.org_id = c.org_id and n.recording_id = c.recording_id), '{}') as names
from current_results c
where c.org_id = current_org() and c.stage = 'transcript'
  and (%(recording)s::uuid is null or c.recording_id = %(recording)s)
order by c.recording_id

-- name: chunks
select c.id::text as chunk, c.recording_id::text as recording, c.source, c.ordinal, c.text,
    c.start_seconds, c.end_seconds, coalesce(n.name, c.speaker) as speaker, c.token_count
from embedded_recordings e
join embedding_sets s on s.id = e.set_id and s.state = 'active'
join chunks c on c.org_id = e.org_id and c.recording_id = e.recording_id
    and c.recipe_hash = e.chunk_recipe_hash and c.is_current
left join speaker_names n
    on n.org_id = c.org_id and n.recording_id = c.recording_id and n.label = c.speaker
where e.org_id = current_org() and (%(recording)s::uuid is null or e.recording_id = %(recording)s)
order by c.recording_id, c.source desc, c.ordinal
