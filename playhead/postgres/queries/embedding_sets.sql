-- name: create
select create_embedding_set(%(name)s, %(engine)s, %(engine_hash)s, %(dimensions)s) as id

-- name: all
select id, name, engine, engine_hash, dimensions, state, gate, created_at, activated_at
from embedding_sets order by id

-- name: live
select id, name, engine, engine_hash, dimensions, state, gate, created_at, activated_at
from embedding_sets where state <> 'retired'
order by state = 'active' desc, id

-- name: progress
select
    (select count(*) from recordings where stages_done = 5) as ready,
    (select count(*) from missing_recordings(%(id)s)) as lacking,
    (select count(*) from embeddings where set_id = %(id)s) as vectors

-- name: activate
select activate_set(%(id)s)

-- name: retire
select retire_set(%(id)s)

-- name: record_gate
update embedding_sets set gate = %(gate)s where id = %(id)s

-- name: failed
select f.recording_id::text as recording, f.error ->> 'message' as message,
    f.error ->> 'remedy' as remedy, f.attempt as attempts
from stage_results f
where f.state = 'failed' and f.stage = 'embeddings'
  and f.recipe ->> 'engine' = %(engine)s ->> 'name'
  and f.recipe ->> 'model' = %(engine)s ->> 'model'
  and exists (select from missing_recordings(%(id)s) l
              where l.org_id = f.org_id and l.recording_id = f.recording_id)
order by f.id
