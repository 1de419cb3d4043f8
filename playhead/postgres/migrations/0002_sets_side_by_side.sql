-- Sets of vectors live side by side, each with results of its own; how far a recording is, is
-- kept and not computed; and plans say what shall be made again.

-- building: being filled, not searched. active: searched. standby: was active, still filled, so
-- that going back is one row. retired: its vectors are gone.
alter table embedding_sets
    add column name text,  -- the embedder's name in settings
    add column state text,
    add column gate jsonb,  -- what was measured before it was activated
    add column indexed boolean not null default false,
    add column activated_at timestamptz;
update embedding_sets set
    name = case engine ->> 'name' when 'ctranslate2' then 'minilm' else engine ->> 'name' end,
    state = case when active then 'active' else 'building' end,
    activated_at = case when active then created_at end;
alter table embedding_sets
    alter column name set not null,
    alter column state set not null,
    add check (state in ('building', 'active', 'standby', 'retired')),
    drop column active;
create unique index embedding_sets_one_active on embedding_sets (state) where state = 'active';

-- The key begins with the chunk, since that is how vectors are found and deleted.
alter table embeddings drop constraint embeddings_pkey;
alter table embeddings add primary key (org_id, chunk_id, set_id);

-- So do the other keys that begin with the organisation begin with what tells rows apart: on
-- fresh tables the planner takes any index that starts with an equal column for a good one, and
-- reads all of an organisation.
alter table embedding_cache drop constraint embedding_cache_pkey;
alter table embedding_cache add primary key (text_hash, set_id, org_id);
alter table chunks
    drop constraint chunks_org_id_recording_id_recipe_hash_source_text_hash_occ_key,
    add unique (recording_id, recipe_hash, source, text_hash, occurrence, org_id);
alter table stage_results
    drop constraint stage_results_org_id_recording_id_stage_input_hash_recipe_h_key,
    add unique (recording_id, stage, input_hash, recipe_hash, org_id);

-- Chunks and vectors are current for a set; the stages before belong to none, which is set 0.
-- chosen_by: a person corrected or restored this result, so the pipeline leaves it in place.
alter table current_results
    add column set_id integer not null default 0,
    add column chosen_by text;
update current_results set set_id = s.id
from embedding_sets s where s.state = 'active' and stage in ('chunks', 'embeddings');
delete from current_results where stage in ('chunks', 'embeddings') and set_id = 0;
alter table current_results
    drop constraint current_results_pkey,
    add primary key (org_id, recording_id, stage, set_id),
    add check ((set_id = 0) = (stage in ('raw_media', 'transcript', 'document')));
create index current_results_result on current_results (org_id, recording_id, result_id);

-- A chunk that is no longer wanted is searched until the vectors of what replaces it are there.
alter table chunks add column wanted boolean not null default true;
create index chunks_languages on chunks (org_id, search_config);
create index chunks_unwanted on chunks (org_id, recording_id) where not wanted;

-- How far a recording has come for a set: a stage counts when its current result was made from
-- the current results of the stages before it.
create function stages_done_of(org text, recording uuid, searched integer) returns smallint
language sql stable as $$
    select case
        when raw_media is null then 0
        when transcript is null or transcript_of is distinct from raw_media then 1
        when document is null or document_of is distinct from transcript then 2
        when chunks is null or chunks_of_document is distinct from document
            or chunks_of_transcript is distinct from transcript then 3
        when embeddings is null or embeddings_of is distinct from chunks then 4
        else 5
    end::smallint
    from (
        select
            max(s.output_hash) filter (where s.stage = 'raw_media') as raw_media,
            max(s.output_hash) filter (where s.stage = 'transcript') as transcript,
            max(s.inputs ->> 'raw_media') filter (where s.stage = 'transcript') as transcript_of,
            max(s.output_hash) filter (where s.stage = 'document') as document,
            max(s.inputs ->> 'transcript') filter (where s.stage = 'document') as document_of,
            max(s.output_hash) filter (where s.stage = 'chunks') as chunks,
            max(s.inputs ->> 'transcript') filter (where s.stage = 'chunks')
                as chunks_of_transcript,
            max(s.inputs ->> 'document') filter (where s.stage = 'chunks') as chunks_of_document,
            max(s.output_hash) filter (where s.stage = 'embeddings') as embeddings,
            max(s.inputs ->> 'chunks') filter (where s.stage = 'embeddings') as embeddings_of
        from current_results c
        join stage_results s on s.id = c.result_id and s.state = 'done'
        where c.org_id = org and c.recording_id = recording and c.set_id in (0, searched)
    ) as standing
$$;

create function active_set() returns integer language sql stable as $$
    select id from embedding_sets where state = 'active'
$$;

drop view recording_status, recording_progress;
alter table recordings
    add column stages_done smallint not null default 0,  -- for the active set
    add column archived_at timestamptz;
update recordings set stages_done = stages_done_of(org_id, id, active_set());
create index recordings_waiting on recordings (priority desc, id) where stages_done < 5;

-- Held shared by whoever makes a result current, alone by whoever switches sets: so nobody
-- counts how far a recording is for a set that is just being replaced.
-- Point readers of a recording's stage, for these sets, at a result that is done; count how far
-- the recording is; forget what stood in its way. ``progressed``: the result is new. Lock 0 of
-- our class is held shared here and alone by whoever switches sets: so nobody counts how far a
-- recording is for a set that is just being replaced.
create function make_current(result integer, sets integer[], by_whom text, progressed boolean)
returns void language plpgsql as $$
declare
    made stage_results;
    reached smallint;
begin
    perform pg_advisory_xact_lock_shared(playhead_lock_class(), 0);
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
    reached := stages_done_of(made.org_id, made.recording_id, active_set());
    update recordings r set
        stages_done = reached,
        requested_at = case when progressed then null else requested_at end,
        requests = case when progressed then 0 else requests end
    where org_id = made.org_id and id = made.recording_id
      and (stages_done <> reached or progressed and requests > 0);
end $$;

-- Find a result by its name, or begin it: one call, for every stage of every recording comes by
-- here. Its state says what came of it: done, running (this session has its lock now), or held
-- by another worker.
create function claim_result(
    org text, recording uuid, of_stage text, made_from jsonb, made_from_hash text, by_recipe jsonb,
    by_recipe_hash text, by_run text, doing text
) returns stage_results language plpgsql as $$
declare
    found_row stage_results;
    begun stage_results;
begin
    select * into found_row from stage_results
    where org_id = org and recording_id = recording and stage = of_stage
      and input_hash = made_from_hash and recipe_hash = by_recipe_hash;
    if not found then
        insert into stage_results
            (org_id, recording_id, stage, inputs, input_hash, recipe, recipe_hash)
        values (org, recording, of_stage, made_from, made_from_hash, by_recipe, by_recipe_hash)
        on conflict (org_id, recording_id, stage, input_hash, recipe_hash)
            do update set stage = excluded.stage  -- so that the other worker's row comes back
        returning * into found_row;
    end if;
    if found_row.state = 'done' then
        return found_row;
    end if;
    if not pg_try_advisory_lock(playhead_lock_class(), found_row.id) then
        found_row.state := 'held';
        return found_row;
    end if;
    update stage_results
    set state = 'running', attempt = attempt + 1, run_id = by_run, started_at = now(),
        finished_at = null, percent = 0, detail = doing, error = null
    where id = found_row.id and state <> 'done'
    returning * into begun;
    if begun.id is null then  -- finished a moment ago
        perform pg_advisory_unlock(playhead_lock_class(), found_row.id);
        select * into begun from stage_results where id = found_row.id;
    end if;
    return begun;
end $$;

-- Make a recording's chunks of a recipe exactly ``desired``. What is no longer wanted goes where
-- no set searches it, and is marked where one does.
create function put_chunks(
    org text, recording uuid, cut_by text, result integer, said_in text, desired jsonb,
    desired_hash text
) returns void language plpgsql as $$
begin
    with wanted_ones as materialized (
        select * from jsonb_to_recordset(desired) as d (
            source text, text_hash text, occurrence integer, text text, ordinal integer,
            char_start integer, char_end integer, start_seconds double precision,
            end_seconds double precision, speaker text, token_count integer, phrases jsonb)
    ), replaced as materialized (
        select c.id, exists (select from embeddings e
                             where e.org_id = c.org_id and e.chunk_id = c.id) as searched
        from chunks c
        where c.org_id = org and c.recording_id = recording and c.recipe_hash = cut_by
          and not exists (
              select from wanted_ones d
              where d.source = c.source and d.text_hash = c.text_hash
                and d.occurrence = c.occurrence)
    ), gone as (
        delete from chunks c using replaced r where c.id = r.id and not r.searched
    ), marked as (
        update chunks c set wanted = false from replaced r
        where c.id = r.id and r.searched and c.wanted
    )
    insert into chunks as c (org_id, recording_id, recipe_hash, result_id, source, text_hash,
        occurrence, text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker,
        token_count, phrases, search_config)
    select org, recording, cut_by, result, source, text_hash, occurrence, text, ordinal,
        char_start, char_end, start_seconds, end_seconds, speaker, token_count, phrases,
        search_config(said_in)
    from wanted_ones
    on conflict (org_id, recording_id, recipe_hash, source, text_hash, occurrence) do update
    set ordinal = excluded.ordinal, char_start = excluded.char_start,
        char_end = excluded.char_end, start_seconds = excluded.start_seconds,
        end_seconds = excluded.end_seconds, speaker = excluded.speaker,
        phrases = excluded.phrases, search_config = excluded.search_config, wanted = true
    where (c.ordinal, c.char_start, c.char_end, c.start_seconds, c.end_seconds, c.speaker,
           c.phrases, c.search_config, c.wanted)
       is distinct from
          (excluded.ordinal, excluded.char_start, excluded.char_end, excluded.start_seconds,
           excluded.end_seconds, excluded.speaker, excluded.phrases, excluded.search_config, true);
    update stage_results set state = 'superseded'
    where org_id = org and recording_id = recording and stage = 'embeddings' and state = 'done'
      and inputs ->> 'chunk_recipe' = cut_by and inputs ->> 'chunks' <> desired_hash;
end $$;

-- Give every chunk of a recipe its cached vector: from now on exactly these are searched in the
-- set, and chunks that no set searches any more go. Gives what is wrong, if something is.
create function put_vectors(
    org text, recording uuid, cut_by text, chunks_result integer, into_set integer, result integer
) returns text language plpgsql as $$
declare
    bare bigint;
begin
    perform from current_results c
    where c.org_id = org and c.recording_id = recording and c.stage = 'chunks'
      and c.set_id = into_set and c.result_id = chunks_result
    for share;
    if not found then
        return 'cut anew';
    end if;
    insert into embeddings (set_id, org_id, chunk_id, result_id, vector)
    select into_set, c.org_id, c.id, result, e.vector
    from chunks c
    join embedding_cache e
      on e.org_id = c.org_id and e.set_id = into_set and e.text_hash = c.text_hash
    where c.org_id = org and c.recording_id = recording and c.recipe_hash = cut_by and c.wanted
    on conflict (org_id, chunk_id, set_id) do nothing;
    select count(*) into bare from chunks c
    where c.org_id = org and c.recording_id = recording and c.recipe_hash = cut_by and c.wanted
      and not exists (select from embeddings e where e.org_id = c.org_id
                      and e.chunk_id = c.id and e.set_id = into_set);
    if bare > 0 then
        return bare || ' chunks have no vector';
    end if;
    insert into embedded_recordings (result_id, org_id, recording_id, set_id, chunk_recipe_hash)
    values (result, org, recording, into_set, cut_by)
    on conflict (org_id, recording_id, set_id) do update
    set result_id = excluded.result_id, chunk_recipe_hash = excluded.chunk_recipe_hash;
    delete from embeddings e using chunks c
    where e.set_id = into_set and e.org_id = org and e.chunk_id = c.id
      and c.org_id = org and c.recording_id = recording
      and (not c.wanted or c.recipe_hash <> cut_by);
    update stage_results s set state = 'superseded'
    where s.org_id = org and s.recording_id = recording and s.stage = 'chunks'
      and s.state = 'done'
      and not exists (select from current_results c where c.org_id = s.org_id
                      and c.recording_id = s.recording_id and c.result_id = s.id);
    delete from chunks c
    where c.org_id = org and c.recording_id = recording
      and (not c.wanted or c.recipe_hash <> cut_by)
      and (not c.wanted or not exists (
          select from current_results cur
          join stage_results s on s.id = cur.result_id
          where cur.org_id = org and cur.recording_id = recording and cur.stage = 'chunks'
            and s.recipe_hash = c.recipe_hash))
      and not exists (select from embeddings e where e.org_id = c.org_id and e.chunk_id = c.id);
    return null;
end $$;

-- The set of this engine; made, with its partition, when it is new or was retired. The first is
-- active at once: there is nothing to be searched yet.
drop function create_embedding_set(jsonb, text, integer);
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
    return found_id;
end $$;

-- Recordings that are ready for the active set and not for this one. All at once, since one by
-- one takes forty times as long.
create function lacking(searched integer)
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

-- The switch. A set that lacks a ready recording is refused, so a half-built one is never
-- searched; what serves now stays as standby.
create function activate_set(chosen integer) returns void language plpgsql as $$
declare
    missing bigint;
begin
    perform pg_advisory_xact_lock(playhead_lock_class(), 0);
    select count(*) into missing from lacking(chosen);
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

-- Let go of a set's vectors and index. Its cache stays: what was paid for once serves again
-- should the set come back.
create function retire_set(chosen integer) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(playhead_lock_class(), 0);
    perform set_config('lock_timeout', '1s', true);  -- searches are not made to wait for this
    update embedding_sets set state = 'retired', indexed = false
    where id = chosen and state in ('building', 'standby');
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

-- The chunks of a set whose vectors are nearest to a question's: by an exact scan up to 20,000
-- vectors of an organisation (15 ms for 384 dimensions), by the set's index beyond.
create function nearest(searched integer, org text, question vector, depth integer)
returns table (chunk_id uuid, distance double precision) language plpgsql as $$
declare
    chosen embedding_sets;
    vectors bigint;
begin
    select * into chosen from embedding_sets where id = searched;
    if chosen.indexed then
        select count(*) into vectors from (
            select from embeddings e where e.set_id = searched and e.org_id = org limit 20001
        ) as first_ones;
    end if;
    if vectors > 20000 then
        perform set_config('hnsw.iterative_scan', 'strict_order', true),
            set_config('hnsw.ef_search', least(1000, greatest(100, 2 * depth))::text, true);
        return query execute format(
            'select e.chunk_id, e.vector::vector(%1$s) <=> $1::vector(%1$s) '
            'from embeddings_set_%2$s e where e.org_id = $2 '
            'order by e.vector::vector(%1$s) <=> $1::vector(%1$s) limit $3',
            chosen.dimensions, searched) using question, org, depth;
    else
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e where e.set_id = searched and e.org_id = org
        order by near, e.chunk_id limit depth;
    end if;
end $$;

-- What a person or the schedule decided to make again. What is left of it is always a query;
-- ``position`` only saves looking twice at what is behind.
create table plans (
    id integer generated always as identity primary key,
    stages text[] not null,
    set_id integer references embedding_sets,  -- of a set that is being built
    org_id text references organisations,
    kind text,
    since timestamptz,
    author text not null,
    estimated_usd numeric not null,
    confirmed_usd numeric,
    state text not null default 'open' check (state in ('open', 'done', 'cancelled')),
    position uuid,
    created_at timestamptz not null default now(),
    ended_at timestamptz
);
create unique index plans_one_a_set on plans (set_id) where state = 'open' and set_id is not null;

-- The one source of "how is my recording doing".
create view recording_status as
select r.org_id, r.id, r.title, r.kind, r.priority, r.created_at, r.archived_at,
    coalesce(t.language, r.language) as language,
    m.duration_seconds,
    r.stages_done,
    case
        when d.id is not null then 'failed'
        when r.stages_done = 5 then 'ready'
        when live.stage = 'transcript' then 'transcribing'
        when live.stage = 'document' then 'writing'
        when live.stage = 'chunks' or r.stages_done = 3 then 'chunking'
        when live.stage = 'embeddings' or r.stages_done = 4 then 'embedding'
        when r.stages_done = 2 then 'transcribed'
        else 'uploaded'
    end as status,
    -- The share of the whole that each stage's end stands for: transcription takes most.
    (array[0, 5, 80, 85, 90, 100])[r.stages_done + 1]
        + coalesce(live.percent, 0) * (array[5, 75, 5, 5, 10, 0])[r.stages_done + 1] / 100
        as percent,
    case
        when d.id is not null then 'failed at ' || d.stage
        when r.stages_done = 5 then 'ready'
        when live.id is not null then live.detail
        else 'waiting'
    end as detail,
    case when d.id is not null then jsonb_build_object(
        'stage', d.stage, 'class', d.error_class, 'message', d.message,
        'remedy', d.remedy, 'attempts', d.attempts) end as error,
    live.id is not null as live
from recordings r
left join dead_letters d
    on d.org_id = r.org_id and d.recording_id = r.id and d.resolved_at is null
left join lateral (
    select l.id, l.stage, l.percent, l.detail from live_results l
    where l.recording_id = r.id order by l.id desc limit 1
) live on true
left join current_results cm
    on cm.org_id = r.org_id and cm.recording_id = r.id and cm.stage = 'raw_media' and cm.set_id = 0
left join raw_media m on m.result_id = cm.result_id
left join current_results ct
    on ct.org_id = r.org_id and ct.recording_id = r.id and ct.stage = 'transcript'
    and ct.set_id = 0
left join transcripts t on t.result_id = ct.result_id;
