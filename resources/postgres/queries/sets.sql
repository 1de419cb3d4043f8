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
    (select count(*) from lacking(%(id)s)) as lacking,
    (select count(*) from embeddings where set_id = %(id)s) as vectors

-- name: activate
select activate_set(%(id)s)

-- name: retire
select retire_set(%(id)s)

-- name: record_gate
update embedding_sets set gate = %(gate)s where id = %(id)s

