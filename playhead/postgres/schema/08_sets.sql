-- Functions that write chunks and vectors, and that switch embedding sets.

-- Make each recording's chunks of a recipe exactly those of ``desired``, with the language of each.
-- Replaced chunks are deleted if no set searches them; otherwise they stay until the new vectors
-- exist. The arrays have one length; the caller holds the claims, so nobody else writes these chunks.
create function put_chunks(
    orgs text[], recordings uuid[], cut_by text[], results integer[], languages text[],
    desired jsonb[], hashes text[]
) returns void language plpgsql as $$
begin
    with desired_chunks as materialized (
        select w.org as org_id, w.recording as recording_id, w.recipe as recipe_hash,
            w.result as result_id, search_config(coalesce(d.language, w.language)) as search_config,
            d.*
        from unnest(orgs, recordings, cut_by, results, languages, desired)
            as w (org, recording, recipe, result, language, desired)
        cross join jsonb_to_recordset(w.desired) as d (
            source text, text_hash text, occurrence integer, text text, ordinal integer,
            char_start integer, char_end integer, start_seconds double precision,
            end_seconds double precision, speaker text, token_count integer, phrases jsonb,
            language text)
    ), there as materialized (
        select c.* from unnest(orgs, recordings, cut_by) as w (org, recording, recipe)
        cross join lateral (
            select id, org_id, recording_id, recipe_hash, source, text_hash, occurrence,
                search_config as searched_as
            from chunks k
            where k.org_id = w.org and k.recording_id = w.recording and k.recipe_hash = w.recipe
            offset 0
        ) c
    ), replaced as materialized (
        select t.id, exists (
            select from embeddings e where e.org_id = t.org_id and e.chunk_id = t.id) as searched
        from there t
        left join desired_chunks d
            using (org_id, recording_id, recipe_hash, source, text_hash, occurrence)
        where d.text is null
    ), gone as (
        delete from chunks c using replaced r
        where c.id = r.id and c.id = any(array(select id from there)) and not r.searched
    ), marked as (
        update chunks c set is_current = false from replaced r
        where c.id = r.id and c.id = any(array(select id from there)) and r.searched and c.is_current
    ), moved as (
        update chunks c
        set ordinal = d.ordinal, char_start = d.char_start, char_end = d.char_end,
            start_seconds = d.start_seconds, end_seconds = d.end_seconds, speaker = d.speaker,
            phrases = d.phrases, is_current = true
        from desired_chunks d
        join there t using (org_id, recording_id, recipe_hash, source, text_hash, occurrence)
        where c.id = t.id and c.id = any(array(select id from there))
          and t.searched_as = d.search_config
          and (c.ordinal, c.char_start, c.char_end, c.start_seconds, c.end_seconds, c.speaker,
               c.phrases, c.is_current)
           is distinct from
              (d.ordinal, d.char_start, d.char_end, d.start_seconds, d.end_seconds, d.speaker,
               d.phrases, true)
    ), in_another_language as (  -- only these are read for their words again
        update chunks c
        set ordinal = d.ordinal, char_start = d.char_start, char_end = d.char_end,
            start_seconds = d.start_seconds, end_seconds = d.end_seconds, speaker = d.speaker,
            phrases = d.phrases, is_current = true, search_config = d.search_config
        from desired_chunks d
        join there t using (org_id, recording_id, recipe_hash, source, text_hash, occurrence)
        where c.id = t.id and c.id = any(array(select id from there))
          and t.searched_as <> d.search_config
    )
    insert into chunks (org_id, recording_id, recipe_hash, result_id, source, text_hash, occurrence,
        text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker, token_count,
        phrases, search_config)
    select org_id, recording_id, recipe_hash, result_id, source, text_hash, occurrence, text,
        ordinal, char_start, char_end, start_seconds, end_seconds, speaker, token_count, phrases,
        search_config
    from desired_chunks
    where (org_id, recording_id, recipe_hash, source, text_hash, occurrence) not in (
        select org_id, recording_id, recipe_hash, source, text_hash, occurrence from there);
    update stage_results s set state = 'superseded'
    where s.id = any(array(
        select r.id from unnest(orgs, recordings, cut_by, hashes)
            as w (org, recording, recipe, hash)
        cross join lateral (
            select id from stage_results
            where org_id = w.org and recording_id = w.recording and stage = 'embeddings'
              and state = 'done' and inputs ->> 'chunk_recipe' = w.recipe
              and inputs ->> 'chunks' <> w.hash
            offset 0
        ) r));
end $$;

-- Give every current chunk of each recording's recipe its cached vector. From then on exactly these
-- are searched in the set, and chunks that no set searches are deleted. Returns a row per fault.
-- The arrays have one length, in an order that all workers share. Rows are looked up one by one
-- (lateral, with ``offset 0``): the planner would join freshly filled tables by reading them whole.
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
              and k.recipe_hash = w.recipe and k.is_current
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
          and k.recipe_hash = w.recipe and k.is_current
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
              and (not k.is_current or k.recipe_hash <> w.recipe)
            offset 0
        ) old);
    delete from embeddings e
    where e.set_id = into_set and e.org_id = any(orgs) and e.chunk_id = any(replaced);
    delete from chunks c
    where c.id = any(replaced)
      and (not c.is_current or not exists (
          select from current_results cur
          join stage_results s on s.id = cur.result_id
          where cur.org_id = c.org_id and cur.recording_id = c.recording_id
            and cur.stage = 'chunks' and s.recipe_hash = c.recipe_hash))
      and not exists (select from embeddings e where e.org_id = c.org_id and e.chunk_id = c.id);
end $$;

-- Return the set of this engine, created with its partition if it is new or was retired. The first
-- set is active at once. Partitions are granted to nobody: searches use the parent table, or a
-- function that checks the organisation.
create function create_embedding_set(
    set_name text, set_engine jsonb, hash text, set_dimensions integer
) returns integer language plpgsql as $$
declare
    found_id integer;
    found_state text;
begin
    perform pg_advisory_xact_lock(hashtext('embedding_sets'));
    select id, state into found_id, found_state from embedding_sets where engine_hash = hash;
    if found_state <> 'retired' then
        return found_id;
    end if;
    if found_id is null then
        insert into embedding_sets (name, engine, engine_hash, dimensions, state, activated_at)
        select set_name, set_engine, hash, set_dimensions,
            case when first then 'active' else 'building' end, case when first then now() end
        from (select not exists (select from embedding_sets where state = 'active') as first) f
        returning id into found_id;
    else
        update embedding_sets set state = 'building', gate = null where id = found_id;
    end if;
    execute format('create table embeddings_set_%s partition of embeddings '
        '(check (vector_dims(vector) = %s)) for values in (%s)',
        found_id, set_dimensions, found_id);
    perform enable_rls(format('embeddings_set_%s', found_id)::regclass);
    return found_id;
end $$;

-- Return recordings that are ready for the active set and not for this one. In one query, since one
-- by one takes forty times as long.
create function missing_recordings(searched integer)
returns table (org_id text, recording_id uuid) language sql stable as $$
    with standing as (
        select c.org_id, c.recording_id,
            max(s.output_hash) filter (where s.stage = 'transcript') as transcript,
            max(s.output_hash) filter (where s.stage = 'document') as document,
            max(s.output_hash) filter (where s.stage = 'chunks') as chunks,
            max(s.inputs ->> 'transcript') filter (where s.stage = 'chunks')
                as chunks_of_transcript,
            max(s.inputs ->> 'document') filter (where s.stage = 'chunks') as chunks_of_document,
            max(s.inputs ->> 'chunks') filter (where s.stage = 'embeddings') as embeddings_of
        from current_results c
        join stage_results s on s.id = c.result_id and s.state = 'done'
        where c.set_id in (0, searched) and c.stage <> 'raw_media'
        group by c.org_id, c.recording_id
    )
    select r.org_id, r.id
    from recordings r
    left join standing on standing.org_id = r.org_id and standing.recording_id = r.id
    where r.stages_done = 5 and (
        embeddings_of is distinct from chunks or chunks is null
        or chunks_of_transcript is distinct from transcript
        or chunks_of_document is distinct from document)
$$;

-- Switch the search to a set. Refused if it lacks a ready recording, so a half-built set is never
-- searched; the set that was active becomes standby.
create function activate_set(chosen integer) returns void language plpgsql as $$
declare
    missing bigint;
begin
    perform pg_advisory_xact_lock(playhead_lock_class(), 0);
    select count(*) into missing from missing_recordings(chosen);
    if missing > 0 then
        raise exception 'set % lacks % recordings', chosen, missing using errcode = 'PH001';
    end if;
    update embedding_sets set state = 'standby' where state = 'active' and id <> chosen;
    update embedding_sets set state = 'active', activated_at = now()
    where id = chosen and state in ('building', 'standby', 'active');
    if not found then
        raise exception 'set % is retired or unknown', chosen using errcode = 'PH002';
    end if;
    -- What is not ready has come as far as the set that is searched now says.
    update recordings r
    set stages_done = stages_done_of(r.org_id, r.id, chosen)
    where r.stages_done in (3, 4) and r.stages_done <> stages_done_of(r.org_id, r.id, chosen);
end $$;

-- Delete a set's vectors and indexes. Its cache stays: vectors that were paid for are used again if
-- the set comes back.
create function retire_set(chosen integer) returns void language plpgsql as $$
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
