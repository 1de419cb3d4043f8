-- A set that is built beside the one that is searched: a smaller index, the vectors of a group of
-- recordings in one statement, and no counting of how far its recordings are for searches.

-- The chunks of a set whose vectors are nearest to a question's: by an exact scan up to 20,000
-- vectors of an organisation (15 ms for 384 dimensions), by the set's index beyond. The index is of
-- halves of a float each: five sixths of the CPU to build, four sevenths of the size, and up to 4,000
-- dimensions (pgvector's limit). It finds twice what is asked for, which the whole vectors put in order.
create or replace function nearest(searched integer, org text, question vector, depth integer)
returns table (chunk_id uuid, distance double precision) language plpgsql as $$
declare
    chosen embedding_sets;
    vectors bigint;
begin
    select * into chosen from embedding_sets where id = searched;
    select reltuples into vectors from pg_class  -- counting takes 2 to 5 ms: only where it can matter
    where oid = to_regclass('embeddings_set_' || searched) and chosen.indexed;
    if vectors > 20000 then
        select count(*) into vectors from (
            select from embeddings e where e.set_id = searched and e.org_id = org limit 20001
        ) as first_ones;
    end if;
    if vectors > 20000 then
        perform set_config('hnsw.iterative_scan', 'strict_order', true),
            set_config('hnsw.ef_search', least(1000, greatest(100, 2 * depth))::text, true);
        return query execute format(
            'select found.chunk_id, found.vector <=> $1 as near from ('
            '    select e.chunk_id, e.vector from embeddings_set_%2$s e where e.org_id = $2 '
            '    order by e.vector::halfvec(%1$s) <=> $1::halfvec(%1$s) limit 2 * $3'
            ') found order by near, found.chunk_id limit $3',
            chosen.dimensions, searched) using question, org, depth;
    else
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e where e.set_id = searched and e.org_id = org
        order by near, e.chunk_id limit depth;
    end if;
end $$;

-- Searched meanwhile: the old index goes last.
do $$
declare
    old embedding_sets;
begin
    for old in select * from embedding_sets where indexed loop
        perform set_config('maintenance_work_mem', '1GB', true);
        execute format('create index embeddings_set_%1$s_nearest on embeddings_set_%1$s '
            'using hnsw ((vector::halfvec(%2$s)) halfvec_cosine_ops)', old.id, old.dimensions);
    end loop;
    for old in select * from embedding_sets where indexed loop
        execute format('drop index if exists embeddings_set_%s_hnsw', old.id);
    end loop;
end $$;

-- Point readers of a recording's stage, for these sets, at a result that is done; count how far
-- the recording is for the searched set; forget what stood in its way. ``progressed``: the result
-- is new. Lock 0 of our class is held shared here and alone by whoever switches sets: so nobody
-- counts how far a recording is for a set that is just being replaced.
create or replace function make_current(
    result integer, sets integer[], by_whom text, progressed boolean
) returns void language plpgsql as $$
declare
    made stage_results;
    searched integer;
    reached smallint;
begin
    perform pg_advisory_xact_lock_shared(playhead_lock_class(), 0);
    searched := active_set();
    select * into made from stage_results where id = result;
    insert into current_results (org_id, recording_id, stage, set_id, result_id, chosen_by)
    select made.org_id, made.recording_id, made.stage, set_id, result, by_whom
    from unnest(sets) as set_id
    on conflict (org_id, recording_id, stage, set_id) do update
    set result_id = excluded.result_id, chosen_by = excluded.chosen_by
    where (current_results.result_id, current_results.chosen_by)
       is distinct from (excluded.result_id, excluded.chosen_by);
    update dead_letters set resolved_at = now()
    where org_id = made.org_id and recording_id = made.recording_id and stage = made.stage
      and resolved_at is null;
    if sets && array[0, searched] then
        reached := stages_done_of(made.org_id, made.recording_id, searched);
    end if;
    update recordings r set
        stages_done = coalesce(reached, stages_done),
        requested_at = case when progressed then null else requested_at end,
        requests = case when progressed then 0 else requests end
    where org_id = made.org_id and id = made.recording_id
      and (stages_done <> reached or progressed and requests > 0);
end $$;

-- Give every chunk of each recording's recipe its cached vector: from now on exactly these are
-- searched in the set, and chunks that no set searches any more go. A row for whatever is wrong.
-- Arrays of one length, in an order that all workers share. Looked up one by one (lateral, with
-- ``offset 0``): joins of tables that were just filled the planner made by reading them whole.
drop function put_vectors(text, uuid, text, integer, integer, integer);
create function put_vectors(
    orgs text[], recordings uuid[], cut_by text[], chunks_results integer[], into_set integer,
    results integer[]
) returns table (recording_id uuid, fault text) language plpgsql as $$
declare
    replaced uuid[];
begin
    return query
    select w.recording, 'cut anew' from unnest(orgs, recordings, chunks_results)
        as w (org, recording, chunks_result)
    left join lateral (
        select true as there from current_results c
        where c.org_id = w.org and c.recording_id = w.recording and c.stage = 'chunks'
          and c.set_id = into_set and c.result_id = w.chunks_result
        for share
    ) current on true
    where current.there is null;
    if found then
        return;
    end if;
    insert into embeddings (set_id, org_id, chunk_id, result_id, vector)
    select into_set, c.org_id, c.id, c.result, c.vector
    from (
        select chunk.org_id, chunk.id, w.result, (
            select e.vector from embedding_cache e
            where e.org_id = chunk.org_id and e.set_id = into_set
              and e.text_hash = chunk.text_hash) as vector
        from unnest(orgs, recordings, cut_by, results) as w (org, recording, recipe, result)
        cross join lateral (
            select * from chunks k
            where k.org_id = w.org and k.recording_id = w.recording
              and k.recipe_hash = w.recipe and k.wanted
            offset 0
        ) chunk
        offset 0
    ) c
    where c.vector is not null
    on conflict (org_id, chunk_id, set_id) do nothing;
    return query
    select w.recording, count(*) || ' chunks have no vector'
    from unnest(orgs, recordings, cut_by) as w (org, recording, recipe)
    cross join lateral (
        select * from chunks k
        where k.org_id = w.org and k.recording_id = w.recording
          and k.recipe_hash = w.recipe and k.wanted
        offset 0
    ) chunk
    where (select true from embeddings e where e.org_id = chunk.org_id
           and e.chunk_id = chunk.id and e.set_id = into_set) is null
    group by w.recording;
    if found then
        return;
    end if;
    insert into embedded_recordings (result_id, org_id, recording_id, set_id, chunk_recipe_hash)
    select w.result, w.org, w.recording, into_set, w.recipe
    from unnest(orgs, recordings, cut_by, results) as w (org, recording, recipe, result)
    on conflict on constraint embedded_recordings_org_id_recording_id_set_id_key do update
    set result_id = excluded.result_id, chunk_recipe_hash = excluded.chunk_recipe_hash;
    update stage_results s set state = 'superseded'
    where s.id = any(array(
        select old.id from unnest(orgs, recordings) as w (org, recording)
        cross join lateral (
            select r.id from stage_results r
            where r.org_id = w.org and r.recording_id = w.recording and r.stage = 'chunks'
              and r.state = 'done'
              and not exists (select from current_results c where c.org_id = r.org_id
                              and c.recording_id = r.recording_id and c.result_id = r.id)
            offset 0
        ) old));
    replaced := array(
        select old.id from unnest(orgs, recordings, cut_by) as w (org, recording, recipe)
        cross join lateral (
            select k.id from chunks k
            where k.org_id = w.org and k.recording_id = w.recording
              and (not k.wanted or k.recipe_hash <> w.recipe)
            offset 0
        ) old);
    delete from embeddings e
    where e.set_id = into_set and e.org_id = any(orgs) and e.chunk_id = any(replaced);
    delete from chunks c
    where c.id = any(replaced)
      and (not c.wanted or not exists (
          select from current_results cur
          join stage_results s on s.id = cur.result_id
          where cur.org_id = c.org_id and cur.recording_id = c.recording_id
            and cur.stage = 'chunks' and s.recipe_hash = c.recipe_hash))
      and not exists (select from embeddings e where e.org_id = c.org_id and e.chunk_id = c.id);
end $$;
