-- Organisations are kept apart by the database: whoever works for one enters a role that owns
-- nothing, names the organisation inside the transaction, and sees and writes no other's rows.
--
-- playhead_app       searches, answers, exports: reads, and writes what people say
-- playhead_pipeline  makes results: writes, for one organisation at a time
-- the owner          migrates, and looks after all organisations: what waits, sets, plans, forgetting

-- Of this transaction; null outside one that named it, and null is no organisation's.
create function current_org() returns text language sql stable parallel safe as $$
    select nullif(current_setting('playhead.org', true), '')
$$;

-- Roles are the server's and not the database's: another database may have made them, or an
-- administrator, where this user may not. Whoever migrates must be able to enter them.
do $$
declare
    names constant text[] := array['playhead_app', 'playhead_pipeline'];
    entered constant text := current_setting('role');
    missing text;
    role_name text;
begin
    foreach role_name in array names loop
        begin
            if to_regrole(role_name) is null then
                execute format('create role %I nologin', role_name);
            end if;
        exception when duplicate_object or unique_violation then
            null;  -- made by another a moment ago
        end;
        begin
            perform set_config('role', role_name, true);
            perform set_config('role', entered, true);
        exception when insufficient_privilege then
            execute format('grant %I to %I', role_name, current_user);
        end;
        if not has_schema_privilege(role_name, current_schema(), 'usage') then
            execute format('grant usage on schema %I to %I', current_schema(), role_name);
        end if;
    end loop;
exception when insufficient_privilege then
    select string_agg(format('create role %I nologin; ', name), '') into missing
    from unnest(names) as name where to_regrole(name) is null;
    raise exception using errcode = 'PH004',
        message = format('%s may not make or enter the roles %s', current_user,
            array_to_string(names, ' and ')),
        hint = format('%sgrant %s to %I;', missing, array_to_string(names, ', '), current_user);
end $$;

-- Whatever has an org_id goes through here. The owner's policy stands for what it is, since even the
-- owner is held to policies.
create function keep_apart(rows_of regclass) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security, force row level security', rows_of);
    execute format('create policy one_organisation on %s to playhead_app, playhead_pipeline '
        'using (org_id = current_org()) with check (org_id = current_org())', rows_of);
    execute format('create policy all_organisations on %s to %I using (true) with check (true)',
        rows_of, current_user);
end $$;

do $$
declare
    rows_of regclass;
begin
    for rows_of in
        select c.oid from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    loop
        perform keep_apart(rows_of);
    end loop;
end $$;

alter table organisations enable row level security, force row level security;
create policy one_organisation on organisations to playhead_app, playhead_pipeline
    using (id = current_org()) with check (id = current_org());
do $$
begin
    execute format('create policy all_organisations on organisations to %I '
        'using (true) with check (true)', current_user);
end $$;

-- The same for the partitions of sets to come. They are granted to nobody: who searches goes through
-- the table, or a function that asks for the organisation.
create or replace function create_embedding_set(
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
    perform keep_apart(format('embeddings_set_%s', found_id)::regclass);
    return found_id;
end $$;

-- Keys that the server makes are unique within the organisation too, so that no conflict tells of
-- another's row. The id comes first: who has only that finds its row as before.
alter table recordings drop constraint recordings_pkey, add primary key (id, org_id);
alter table stage_results drop constraint stage_results_pkey, add primary key (id, org_id);
alter table dead_letters drop constraint dead_letters_pkey, add primary key (id, org_id);
alter table raw_media drop constraint raw_media_pkey, add primary key (result_id, org_id);
alter table transcripts drop constraint transcripts_pkey, add primary key (result_id, org_id);
alter table documents drop constraint documents_pkey, add primary key (result_id, org_id);
alter table chunks drop constraint chunks_pkey, add primary key (id, org_id);
alter table embedded_recordings
    drop constraint embedded_recordings_pkey, add primary key (result_id, org_id);
alter table provider_attempts
    drop constraint provider_attempts_pkey, add primary key (id, org_id);
alter table quarantine drop constraint quarantine_pkey, add primary key (id, org_id);
alter table batches drop constraint batches_pkey, add primary key (id, org_id);
alter table deferred_requests
    drop constraint deferred_requests_pkey, add primary key (id, org_id);

-- Policies add the organisation to every condition, and of tables it knows nothing about the planner
-- takes an index that begins with it for as good as any: so results are joined by their whole key.
create or replace function stages_done_of(org text, recording uuid, searched integer) returns smallint
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
        join stage_results s
            on s.org_id = c.org_id and s.recording_id = c.recording_id and s.id = c.result_id
            and s.state = 'done'
        where c.org_id = org and c.recording_id = recording and c.set_id in (0, searched)
    ) as standing
$$;

-- Views show what whoever asks may see.
alter view recording_status set (security_invoker = true);
alter view live_results set (security_invoker = true);
alter view parked set (security_invoker = true);
alter view attendances set (security_invoker = true);

-- What each may do. Tables to come grant what theirs needs.
grant select on organisations, recordings, stage_results, current_results, dead_letters,
    parked_recordings, raw_media, transcripts, documents, chunks, embeddings, embedded_recordings,
    embedding_sets, speaker_names, provider_attempts, provider_breakers, attempt_shares, spent_days,
    quarantine, recording_status, live_results, parked
to playhead_app;
grant insert, update on speaker_names to playhead_app;
grant select, insert, update on recordings, stage_results, current_results, dead_letters, raw_media,
    transcripts, documents, embedded_recordings, embedding_cache, provider_attempts, attempt_shares,
    provider_pace, spent_days, batches, deferred_for
to playhead_pipeline;
grant select, insert, update, delete on parked_recordings, pieces, chunks, embeddings,
    provider_breakers, quarantine, deferred_requests
to playhead_pipeline;
grant select, insert on organisations to playhead_pipeline;
grant select on embedding_sets, speaker_names, recording_status, live_results, parked
to playhead_pipeline;
