-- Functions and views of the pipeline: claims, progress, status, liveness and notifications.

-- Return the class of the advisory locks on stage results ("play" as a 32-bit number).
create function playhead_lock_class() returns integer
language sql immutable as $$ select 1886151033 $$;  -- "play" read as a 32-bit number

-- Stage results that a living worker holds.
create view live_results as
select s.*
from stage_results s
join pg_locks l
  on l.locktype = 'advisory' and l.granted and l.objsubid = 2
 and l.classid = playhead_lock_class()::oid and l.objid = s.id::oid
 and l.database = (select oid from pg_database where datname = current_database())
where s.state = 'running';

-- Recordings that are parked now.
create view parked as
select p.* from parked_recordings p
where p.until > now() or p.until is null and exists (
    select from circuit_breakers b where b.org_id = p.org_id);

-- Return the id of the active embedding set.
create function active_set() returns integer language sql stable as $$
    select id from embedding_sets where state = 'active'
$$;

-- Return how many stages of a recording are current for a set. A stage counts if its current result
-- was made from the current results of the stages before it. Policies add the organisation to every
-- condition, and for tables without statistics the planner takes any index that begins with it: so
-- results are joined by their whole key.
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
        join stage_results s
            on s.org_id = c.org_id and s.recording_id = c.recording_id and s.id = c.result_id
            and s.state = 'done'
        where c.org_id = org and c.recording_id = recording and c.set_id in (0, searched)
    ) as standing
$$;

-- Make a finished result current for these sets, and update the recording's progress.
-- ``progressed``: the result is new. Lock 0 of our class is held shared here and exclusively by a
-- set switch, so that progress is never counted for a set that is just being replaced.
create function make_current(
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
    insert into current_results (org_id, recording_id, stage, set_id, result_id, pinned_by)
    select made.org_id, made.recording_id, made.stage, set_id, result, by_whom
    from unnest(sets) as set_id
    on conflict (org_id, recording_id, stage, set_id) do update
    set result_id = excluded.result_id, pinned_by = excluded.pinned_by
    where (current_results.result_id, current_results.pinned_by)
       is distinct from (excluded.result_id, excluded.pinned_by);
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

-- Find a result or start it; returns its row. State done: it exists. Running: this session now holds
-- its lock. Held: another worker holds it, or it crashed ``deaths`` workers (null: no limit; parking
-- is no crash).
create function claim_result(
    org text, recording uuid, of_stage text, made_from jsonb, made_from_hash text, by_recipe jsonb,
    by_recipe_hash text, by_run text, doing text, deaths integer
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
    if found_row.state = 'running' and found_row.attempt - found_row.parks >= deaths
        or not pg_try_advisory_lock(playhead_lock_class(), found_row.id)
    then
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

-- The status of every recording.
create view recording_status as
select r.org_id, r.id, r.partition_key, r.title, r.kind, r.priority, r.created_at, r.archived_at,
    coalesce(t.language, r.language) as language,
    m.duration_seconds,
    r.stages_done,
    case
        when d.id is not null then 'failed'
        when r.stages_done = 5 then 'ready'
        when live.id is null and p.recording_id is not null then 'parked'
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
        when p.recording_id is not null then coalesce(
            'until ' || to_char(p.until at time zone 'utc', 'YYYY-MM-DD HH24:MI "UTC"'),
            'until resumed') || ': ' || p.reason || ' ' || p.remedy
        else 'waiting'
    end as detail,
    case when d.id is not null then jsonb_build_object(
        'stage', d.stage, 'class', d.error_class, 'message', d.message,
        'remedy', d.remedy, 'attempts', d.attempts) end as error,
    live.id is not null as live
from recordings r
left join dead_letters d
    on d.org_id = r.org_id and d.recording_id = r.id and d.resolved_at is null
left join parked p on p.org_id = r.org_id and p.recording_id = r.id
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

-- Return the class of the advisory locks for liveness: a live process holds one per role, its hash.
create function playhead_liveness_class() returns integer
language sql immutable as $$ select 1886151034 $$;  -- one after playhead_lock_class()

-- Live processes by role. ``silent_seconds``: the time since the last heartbeat.
create view live_processes as
select l.objid as role, a.pid, a.application_name,
    case when a.state = 'idle'
        then extract(epoch from clock_timestamp() - a.state_change) else 0 end as silent_seconds
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid = playhead_liveness_class()::oid
  and l.database = (select oid from pg_database where datname = current_database());

-- Notify workers about pending work.
create function notify_pending() returns trigger language plpgsql as $$
begin
    perform pg_notify('playhead_pending', '');
    return null;
end $$;

create trigger recordings_added after insert on recordings
    for each statement execute function notify_pending();
create trigger plans_opened after insert on plans
    for each statement execute function notify_pending();
create trigger recordings_set_back after update of stages_done on recordings
    for each row when (new.stages_done < old.stages_done) execute function notify_pending();
create trigger dead_letters_resolved after update of resolved_at on dead_letters
    for each row when (old.resolved_at is null and new.resolved_at is not null)
    execute function notify_pending();
create trigger recordings_unparked after delete on parked_recordings
    for each row execute function notify_pending();

-- Unpark a recording that progressed.
create function unpark() returns trigger language plpgsql as $$
begin
    delete from parked_recordings where org_id = new.org_id and recording_id = new.id;
    return null;
end $$;
create trigger recordings_progressed after update of stages_done on recordings
    for each row when (new.stages_done <> old.stages_done) execute function unpark();
