-- The vector leg by size: an organisation's vectors are read exactly while they are few, and beyond
-- that by an HNSW index that holds nobody else's (docs/decisions/0018). One index for all found too
-- little for those it holds few of.

-- Loads pgvector: before that, only a superuser may name its settings.
select '[1]'::vector;

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

-- By the organisation's index: of the 2,000 nearest the first that a filter lets through, ten more than
-- are asked for, by halves, put in order by the whole vectors. Short where it lets through few near the
-- question; to look further costs more than to compare them all, and pgvector fills up what it gives up
-- on with what it happens to have seen (hence no limit but ours). The settings are this function's alone;
-- the planner is kept from reading all and sorting, since it cannot know what an index scan saves.
create function nearest_by_index(
    searched integer, org text, question vector, narrowed search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql
set hnsw.ef_search = 400
set hnsw.iterative_scan = relaxed_order
set hnsw.max_scan_tuples = 1000000
set hnsw.scan_mem_multiplier = 16
set enable_sort = off
as $$
declare
    floats integer;
begin
    select dimensions into floats from embedding_sets where id = searched;
    return query execute format(
        'select found.chunk_id, found.vector <=> $1 as near from ('
        '    select near.chunk_id, near.vector from ('
        '        select e.chunk_id, e.vector from embeddings_set_%1$s e where e.org_id = %3$L '
        '        order by e.vector::halfvec(%2$s) <=> $1::halfvec(%2$s) limit greatest(2000, $2 + 10)'
        '    ) near %4$s limit $2 + 10'
        ') found order by near, found.chunk_id limit $2',
        searched, floats, org, case when not (narrowed is null) then
            'where exists (select from admitted($3, $4) c where c.id = near.chunk_id offset 0)' end)
    using question, depth, org, narrowed;
end $$;

-- The passages of a set whose vectors are nearest to a question's, at most ``depth``, and never fewer
-- than there are. A filter that names recordings is quickly counted: where it leaves few passages these
-- are compared. Else the organisation's index is asked, if it has one; where there is none, or it comes
-- back short, all that the filter lets through are compared.
drop function nearest(integer, text, vector, integer);
create function nearest(
    searched integer, question vector, narrowed search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    org text := searching_org();
    few integer := exact_up_to((select dimensions from embedding_sets where id = searched)) / 2;
    passages uuid[];
    distances double precision[];
begin
    if question is null then
        return;
    end if;
    narrowed := settled(org, narrowed);
    if narrowed.recordings is not null then
        passages := array(select c.id from admitted(org, narrowed) c limit few + 1);
    end if;
    if cardinality(passages) <= few then
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e
        where e.set_id = searched and e.org_id = org and e.chunk_id = any(passages)
        order by near, e.chunk_id limit depth;
        return;
    end if;
    if has_vector_index(searched, org) then
        select array_agg(n.chunk_id), array_agg(n.distance) into passages, distances
        from nearest_by_index(searched, org, question, narrowed, depth) n;
        if cardinality(passages) = depth then
            return query select * from unnest(passages, distances);
            return;
        end if;
    end if;
    if narrowed is null then
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e where e.set_id = searched and e.org_id = org
        order by near, e.chunk_id limit depth;
    else
        return query select e.chunk_id, e.vector <=> question as near
        from admitted(org, narrowed) c
        join embeddings e on e.org_id = org and e.chunk_id = c.id and e.set_id = searched
        order by near, e.chunk_id limit depth;
    end if;
end $$;

-- ``nearest`` alone knows whose question it is, and answers whoever may name an organisation.
revoke execute on function nearest_by_index, nearest from public;
grant execute on function nearest to playhead_app;

-- The indexes that all organisations share go; until an organisation's own is built its vectors are
-- compared one by one.
do $$
declare
    one embedding_sets;
begin
    for one in select * from embedding_sets loop
        execute format('drop index if exists embeddings_set_%s_nearest', one.id);
    end loop;
end $$;

create or replace function retire_set(chosen integer) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(playhead_lock_class(), 0);
    perform set_config('lock_timeout', '1s', true);  -- searches are not made to wait for this
    update embedding_sets set state = 'retired' where id = chosen and state in ('building', 'standby');
    if not found then
        raise exception 'set % is active or unknown', chosen using errcode = 'PH002';
    end if;
    update stage_results s set state = 'superseded'
    from current_results c
    where c.result_id = s.id and c.set_id = chosen and s.stage = 'embeddings';
    delete from current_results where set_id = chosen;
    delete from embedded_recordings where set_id = chosen;
    execute format('drop table embeddings_set_%s', chosen);
end $$;
alter table embedding_sets drop column indexed;
