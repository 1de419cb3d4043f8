-- name: index_states
-- Vectors are counted as far as it matters. An index of twice the room that a fresh one takes has been
-- emptied since (400 bytes a vector are its neighbours and the rest of a page). One that is not valid
-- is being built, or was not to its end.
select s.id as set_id, s.dimensions, o.id as org_id, vector_index_name(s.id, o.id) as name,
    pg_relation_size(i.indexrelid) as bytes, i.indisvalid as valid,
    case
        when of_org.vectors > max_exact_vectors(s.dimensions) and i.indisvalid is not true then 'build'
        when i.indisvalid and of_org.vectors <= max_exact_vectors(s.dimensions) / 2 then 'drop'
        when i.indisvalid and pg_relation_size(i.indexrelid)
            > 2 * (100000 + c.reltuples * (2 * s.dimensions + 400)) then 'rebuild'
    end as action
from embedding_sets s
cross join organisations o
cross join lateral (
    select count(*) as vectors from (
        select from embeddings e where e.set_id = s.id and e.org_id = o.id
        limit max_exact_vectors(s.dimensions) + 1
    ) as first_ones
) as of_org
left join pg_index i on i.indexrelid = to_regclass(vector_index_name(s.id, o.id))
left join pg_class c on c.oid = i.indexrelid
where s.state <> 'retired'
  and s.dimensions <= 4000  -- pgvector's limit for an index of halves
  and (of_org.vectors > max_exact_vectors(s.dimensions) or i.indexrelid is not null)
  and (%(set_id)s::integer is null or s.id = %(set_id)s)
order by s.id, o.id

-- name: try_lock
select pg_try_advisory_lock(hashtext('playhead vector indexes')) as mine

-- name: unlock
select pg_advisory_unlock(hashtext('playhead vector indexes'))

-- name: broken
-- Return invalid indexes. The caller holds the lock, so no build is in progress; a killed rebuild leaves
-- its copy.
select c.relname as name
from pg_index i join pg_class c on c.oid = i.indexrelid
where c.relname ~ '^embeddings_set_\d+_of_[0-9a-f]{16}(_cc(new|old)\d*)?$' and not i.indisvalid

-- name: memory
-- Set the memory of an index build to the size of the index, at most 2 GB: with less, building takes
-- many times as long. A vector needs its half-precision values and 1,000 bytes: 48 neighbours of 16
-- bytes, and overhead.
select set_config('maintenance_work_mem', greatest(65536, least(2097152, count(*)
    * (%(dimensions)s * 2 + 1000) / 1024))::text || 'kB', false)
from embeddings where set_id = %(set_id)s and org_id = %(org_id)s

-- name: usual_memory
reset maintenance_work_mem

-- name: build
create index concurrently {index} on {table}
using hnsw ((vector::halfvec({dimensions})) halfvec_cosine_ops) with (m = 24, ef_construction = 200)
where org_id = {org}

-- name: rebuild
reindex index concurrently {index}

-- name: drop
drop index concurrently if exists {index}

-- name: analyze
-- Of the chunks only what the planner asks for: their words take 0.25 s more for 17,800 of them.
analyze {table}, chunks (org_id, recording_id, search_config)
