-- Providers: the pace they are asked at, the money each attempt takes, breakers, replies that were
-- not believed; and recordings that are laid aside for a while. All times are this server's.

-- One bucket a provider and organisation, shared by all workers: what is left of a minute's requests
-- and tokens. Below zero: turns were taken ahead, and who takes one now waits for them too.
create table provider_pace (
    org_id text not null references organisations,
    provider text not null,
    set_requests integer not null,  -- a minute, as settings say it; limits are what a provider says
    set_tokens integer not null,
    requests_a_minute double precision not null check (requests_a_minute > 0),
    tokens_a_minute double precision not null check (tokens_a_minute > 0),
    requests double precision not null,
    tokens double precision not null,
    filled_at timestamptz not null,  -- in the future while all hold back
    primary key (org_id, provider)
);

-- Open while its row is there: a person must see to the provider first.
create table provider_breakers (
    org_id text not null references organisations,
    provider text not null,
    reason text not null,
    remedy text not null,
    opened_at timestamptz not null default now(),
    primary key (org_id, provider)
);

-- A row an attempt: every attempt may be billed. One that is reserved and past ``lapses_at`` was
-- its worker's last: nobody knows what it cost.
create table provider_attempts (
    id bigint generated always as identity primary key,
    org_id text not null references organisations,
    call_id uuid not null,  -- the same for all attempts at one request
    provider text not null,
    model text not null,
    endpoint text not null,
    purpose text not null,
    state text not null default 'reserved' check (state in ('reserved', 'done', 'failed')),
    day date not null,  -- in UTC, whose budget it is of
    reserved_usd numeric not null,
    cost_usd numeric not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    audio_seconds double precision not null default 0,
    http_status smallint,
    error_class text,
    started_at timestamptz not null default clock_timestamp(),
    lapses_at timestamptz not null,
    finished_at timestamptz,
    unique (org_id, id)
);
create index provider_attempts_reserved on provider_attempts (org_id, day)
    where state = 'reserved';
create index provider_attempts_started on provider_attempts (started_at);

-- For which recordings an attempt was made. Goes with them; the money stays the organisation's.
create table attempt_shares (
    org_id text not null,
    attempt_id bigint not null,
    recording_id uuid not null,
    share double precision not null check (share between 0 and 1),
    primary key (org_id, recording_id, attempt_id),
    foreign key (org_id, attempt_id) references provider_attempts (org_id, id) on delete cascade,
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index attempt_shares_attempt on attempt_shares (org_id, attempt_id);

-- What is spent of a day, so that no reservation has to add it up.
create table spent_days (
    org_id text not null references organisations,
    day date not null,
    spent_usd numeric not null default 0,
    primary key (org_id, day)
);

-- Replies that were not believed, for a person to look at.
create table quarantine (
    id bigint generated always as identity primary key,
    org_id text not null,
    attempt_id bigint not null,
    reason text not null,
    reply bytea not null,
    kept_at timestamptz not null default now(),
    foreign key (org_id, attempt_id) references provider_attempts (org_id, id) on delete cascade
);
create index quarantine_attempt on quarantine (org_id, attempt_id);

-- A reply may quote any of the recordings it was asked for, so it goes with the first of them.
create function forget_replies() returns trigger language plpgsql as $$
begin
    delete from quarantine where org_id = old.org_id and attempt_id = old.attempt_id;
    return null;
end $$;
create trigger shares_forgotten after delete on attempt_shares
    for each row execute function forget_replies();

-- A turn of the bucket, for this many tokens: taken, and to be used after ``wait_seconds``; or not
-- taken, since that would be longer than ``patience``; or the breaker is open. A request of more
-- tokens than a minute has is let through when the bucket is full, and those after it wait.
create function take_turn(
    org text, of_provider text, requests_set integer, tokens_set integer, wanted_tokens bigint,
    patience double precision
) returns table (
    taken boolean, wait_seconds double precision, until timestamptz, reason text, remedy text
) language plpgsql as $$
declare
    pace provider_pace;
    began timestamptz;
    filled timestamptz;
    minutes double precision;
begin
    insert into organisations (id) values (org) on conflict do nothing;
    insert into provider_pace values (org, of_provider, requests_set, tokens_set, requests_set,
        tokens_set, requests_set, tokens_set, clock_timestamp()) on conflict do nothing;
    select * into pace from provider_pace p where p.org_id = org and p.provider = of_provider
    for update;
    select b.reason, b.remedy into reason, remedy from provider_breakers b
    where b.org_id = org and b.provider = of_provider;
    if found then
        taken := false;
        return next;
        return;
    end if;
    if (pace.set_requests, pace.set_tokens) <> (requests_set, tokens_set) then
        pace.requests_a_minute := requests_set;
        pace.tokens_a_minute := tokens_set;
    end if;
    began := clock_timestamp();
    filled := greatest(began, pace.filled_at);
    minutes := extract(epoch from filled - pace.filled_at) / 60;
    pace.requests := least(pace.requests_a_minute,
        pace.requests + minutes * pace.requests_a_minute);
    pace.tokens := least(pace.tokens_a_minute, pace.tokens + minutes * pace.tokens_a_minute);
    wait_seconds := extract(epoch from filled - began) + 60 * greatest(0,
        (1 - pace.requests) / pace.requests_a_minute,
        (least(wanted_tokens, pace.tokens_a_minute) - pace.tokens) / pace.tokens_a_minute);
    until := began + wait_seconds * interval '1 second';
    taken := wait_seconds <= patience;
    update provider_pace p set
        set_requests = requests_set, set_tokens = tokens_set,
        requests_a_minute = pace.requests_a_minute, tokens_a_minute = pace.tokens_a_minute,
        requests = pace.requests - case when taken then 1 else 0 end,
        tokens = pace.tokens - case when taken then wanted_tokens else 0 end,
        filled_at = filled
    where p.org_id = org and p.provider = of_provider;
    return next;
end $$;

-- The right to one attempt, with its money reserved: an attempt's id; or why not: the breaker was
-- opened, all hold back, the day's money is spent or reserved (``until`` the next day).
create function begin_attempt(
    org text, of_provider text, call uuid, of_model text, at_endpoint text, for_purpose text,
    at_most_usd numeric, budget_usd numeric, lapses_after double precision,
    recordings uuid[], shares double precision[]
) returns table (attempt_id bigint, refusal text, until timestamptz, reason text, remedy text)
language plpgsql as $$
declare
    today date := (clock_timestamp() at time zone 'utc')::date;
    taken numeric;
begin
    select b.reason, b.remedy into reason, remedy from provider_breakers b
    where b.org_id = org and b.provider = of_provider;
    if found then
        refusal := 'stopped';
        return next;
        return;
    end if;
    if exists (select from provider_pace p where p.org_id = org and p.provider = of_provider
               and p.filled_at > clock_timestamp()) then
        refusal := 'held';
        return next;
        return;
    end if;
    if budget_usd is not null and at_most_usd > 0 then
        insert into spent_days (org_id, day) values (org, today) on conflict do nothing;
        select s.spent_usd into taken from spent_days s where s.org_id = org and s.day = today
        for update;
        select taken + coalesce(sum(a.reserved_usd), 0) into taken from provider_attempts a
        where a.org_id = org and a.day = today and a.state = 'reserved'
          and a.lapses_at > clock_timestamp();
        if taken + at_most_usd > budget_usd then
            refusal := 'spent';
            until := (today + 1)::timestamp at time zone 'utc';
            reason := format('$%s of the day''s $%s are spent or reserved, and a request may cost $%s.',
                round(taken, 4), budget_usd, round(at_most_usd, 4));
            return next;
            return;
        end if;
    end if;
    insert into provider_attempts (org_id, call_id, provider, model, endpoint, purpose, day,
        reserved_usd, lapses_at)
    values (org, call, of_provider, of_model, at_endpoint, for_purpose, today, at_most_usd,
        clock_timestamp() + lapses_after * interval '1 second')
    returning id into attempt_id;
    insert into attempt_shares (org_id, attempt_id, recording_id, share)
    select org, attempt_id, f.recording, f.share
    from unnest(recordings, shares) as f (recording, share);
    return next;
end $$;

-- Laid aside, until a time or (null) until a person has resumed what stopped it. A row whose time
-- has come, or that waits for a person while no breaker is open any more, holds nobody up; it goes
-- when its recording goes on.
create table parked_recordings (
    org_id text not null,
    recording_id uuid not null,
    stage text not null,
    until timestamptz,
    error_class text not null,
    reason text not null,
    remedy text not null,
    parked_at timestamptz not null default now(),
    primary key (org_id, recording_id),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create view parked as
select p.* from parked_recordings p
where p.until > now() or p.until is null and exists (
    select from provider_breakers b where b.org_id = p.org_id);

create function unpark() returns trigger language plpgsql as $$
begin
    delete from parked_recordings where org_id = new.org_id and recording_id = new.id;
    return null;
end $$;
create trigger recordings_went_on after update of stages_done on recordings
    for each row when (new.stages_done <> old.stages_done) execute function unpark();
create trigger recordings_unparked after delete on parked_recordings
    for each row execute function notify_waiting();

-- How often a claim was given back, which is no failure.
alter table stage_results add column parks integer not null default 0;

-- The row of a result: done, running with its lock in this session's hands, or held. Held is what
-- another worker is at, and what workers left as they died ``deaths`` times; null: however often. To
-- be parked is not to die.
create or replace function claim_result(
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

-- The one source of "how is my recording doing".
create or replace view recording_status as
select r.org_id, r.id, r.title, r.kind, r.priority, r.created_at, r.archived_at,
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
