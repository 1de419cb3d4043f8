-- The vector leg by size: an organisation's vectors are read exactly while they are few, and beyond
-- that by an HNSW index that holds nobody else's (docs/decisions/0018). One index for all found too
-- little for those it holds few of.

-- Vectors that a question is compared with one by one; beyond, an index. 20,000 of 384 dimensions take
-- about 20 ms; the longer a vector, the fewer.
create function exact_up_to(dimensions integer) returns integer language sql immutable as $$
    select least(20000, 20000 * 384 / dimensions)
$$;

create function vector_index_of(set_id integer, org text) returns text
language sql immutable strict as $$
    select format('embeddings_set_%s_of_%s', set_id, left(md5(org), 16))
$$;

-- An index that was not built to its end is none.
create function has_vector_index(set_id integer, org text) returns boolean
language sql stable as $$
    select exists (select from pg_index i
                   where i.indexrelid = to_regclass(vector_index_of(set_id, org)) and i.indisvalid)
$$;

-- By the organisation's index, in whose scan passages that a filter does not let through are passed
-- over: twice what is asked for by halves, put in order by the whole vectors. May be short where the
-- filter lets little through near the question. The settings are this function's alone; the planner is
-- kept from reading all and sorting, since it cannot know how many the filter lets through.
create function nearest_by_index(
    searched integer, org text, question vector, narrowed search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql
set hnsw.ef_search = 200
set hnsw.iterative_scan = relaxed_order
set hnsw.max_scan_tuples = 40000
set hnsw.scan_mem_multiplier = 8
set enable_sort = off
as $$
declare
    floats integer;
begin
    select dimensions into floats from embedding_sets where id = searched;
    return query execute format(
        'select found.chunk_id, found.vector <=> $1 as near from ('
        '    select e.chunk_id, e.vector from embeddings_set_%1$s e where e.org_id = %3$L %4$s'
        '    order by e.vector::halfvec(%2$s) <=> $1::halfvec(%2$s) limit 2 * $2'
        ') found order by near, found.chunk_id limit $2',
        searched, floats, org, case when not (narrowed is null) then
            'and exists (select from admitted($3, $4) c where c.id = e.chunk_id offset 0)' end)
    using question, depth, org, narrowed;
end $$;
