-- Provider use: rate limits, circuit breakers, spend log, quarantine and the Batch API queue.
-- All times are this server's.

-- One bucket per provider and organisation, shared by all workers: the rest of a minute's requests
-- and tokens. Negative values were granted in advance.
create table provider_rate_limits (
    org_id text not null references organisations,
    provider text not null,
    configured_requests integer not null,  -- per minute, from settings; the provider's own limits follow
    configured_tokens integer not null,
    requests_per_minute double precision not null check (requests_per_minute > 0),
    tokens_per_minute double precision not null check (tokens_per_minute > 0),
    requests double precision not null,
    tokens double precision not null,
    filled_at timestamptz not null,  -- in the future while all workers pause
    primary key (org_id, provider)
);

-- A circuit breaker is open while its row exists: a person must resume the provider.
create table circuit_breakers (
    org_id text not null references organisations,
    provider text not null,
    reason text not null,
    remedy text not null,
    opened_at timestamptz not null default now(),
    primary key (org_id, provider)
);

-- The spend log: one row per attempt, since every attempt may be billed. One that is reserved and
-- past ``expires_at`` was its worker's last: its cost is unknown.
create table provider_attempts (
    id bigint generated always as identity,
    org_id text not null references organisations,
    call_id uuid not null,  -- the same for all attempts of a request
    provider text not null,
    model text not null,
    endpoint text not null,
    purpose text not null,
    state text not null default 'reserved' check (state in ('reserved', 'done', 'failed')),
    day date not null,  -- in UTC, of the budget
    reserved_usd numeric not null,
    cost_usd numeric not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    audio_seconds double precision not null default 0,
    http_status smallint,
    error_class text,
    started_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    finished_at timestamptz,
    primary key (id, org_id),
    unique (org_id, id)
);
create index provider_attempts_reserved on provider_attempts (org_id, day)
    where state = 'reserved';
create index provider_attempts_started on provider_attempts (started_at);

-- The recordings of an attempt. Deleted with them; the cost stays with the organisation.
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

-- The sum of a day, so that no reservation has to compute it.
create table spent_days (
    org_id text not null references organisations,
    day date not null,
    spent_usd numeric not null default 0,
    primary key (org_id, day)
);

-- Provider responses that failed validation.
create table quarantine (
    id bigint generated always as identity,
    org_id text not null,
    attempt_id bigint not null,
    reason text not null,
    reply bytea not null,
    kept_at timestamptz not null default now(),
    primary key (id, org_id),
    foreign key (org_id, attempt_id) references provider_attempts (org_id, id) on delete cascade
);
create index quarantine_attempt on quarantine (org_id, attempt_id);

-- Delete a quarantined response with the first of its recordings: it may quote any of them.
create function delete_quarantined_replies() returns trigger language plpgsql as $$
begin
    delete from quarantine where org_id = old.org_id and attempt_id = old.attempt_id;
    return null;
end $$;
create trigger attempt_shares_deleted after delete on attempt_shares
    for each row execute function delete_quarantined_replies();

-- Batches that were sent to a provider.
create table batches (
    id uuid not null,  -- ours; the provider's batch carries it as metadata
    org_id text not null references organisations,
    provider text not null,
    endpoint text not null,
    model text not null,
    remote_id text,  -- null: no confirmation of the provider was seen
    error text,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    primary key (id, org_id),
    unique (org_id, id)
);
create index batches_under_way on batches (created_at) where ended_at is null;

-- Requests that may wait a day for half the price. Identified by content, so each is sent once.
create table batch_requests (
    id bigint generated always as identity,
    org_id text not null references organisations,
    provider text not null,
    endpoint text not null,
    model text not null,
    request_hash text not null check (length(request_hash) = 64),
    body jsonb not null,
    purpose text not null,
    max_usd numeric not null,  -- reserved while it waits
    tries integer not null default 0,  -- batches it was in
    batch_id uuid,  -- the batch it is in now
    reply jsonb,  -- {"status_code", "body"}
    created_at timestamptz not null default now(),
    replied_at timestamptz,
    primary key (id, org_id),
    unique (org_id, provider, request_hash),
    unique (org_id, id),
    foreign key (org_id, batch_id) references batches (org_id, id)
);
create index batch_requests_waiting on batch_requests (id)
    where batch_id is null and reply is null;
create index batch_requests_of_batch on batch_requests (org_id, batch_id);

-- The recordings whose text a request contains.
create table batch_request_recordings (
    org_id text not null,
    request_id bigint not null,
    recording_id uuid not null,
    primary key (org_id, request_id, recording_id),
    foreign key (org_id, request_id) references batch_requests (org_id, id) on delete cascade,
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index batch_request_recordings_recording on batch_request_recordings (recording_id);

-- Take capacity for a request of this many tokens, to be used after ``wait_seconds``.
-- Nothing is taken if that is longer than ``patience``, or if the circuit breaker is open. A request
-- of more tokens than a minute has is granted when the bucket is full, and later ones wait.
create function acquire_rate_limit(
    org text, of_provider text, requests_configured integer, tokens_configured integer, wanted_tokens bigint,
    patience double precision
) returns table (
    taken boolean, wait_seconds double precision, until timestamptz, reason text, remedy text
) language plpgsql as $$
declare
    pace provider_rate_limits;
    began timestamptz;
    filled timestamptz;
    minutes double precision;
begin
    insert into organisations (id) values (org) on conflict do nothing;
    insert into provider_rate_limits values (org, of_provider, requests_configured, tokens_configured, requests_configured,
        tokens_configured, requests_configured, tokens_configured, clock_timestamp()) on conflict do nothing;
    select * into pace from provider_rate_limits p where p.org_id = org and p.provider = of_provider
    for update;
    select b.reason, b.remedy into reason, remedy from circuit_breakers b
    where b.org_id = org and b.provider = of_provider;
    if found then
        taken := false;
        return next;
        return;
    end if;
    if (pace.configured_requests, pace.configured_tokens) <> (requests_configured, tokens_configured) then
        pace.requests_per_minute := requests_configured;
        pace.tokens_per_minute := tokens_configured;
    end if;
    began := clock_timestamp();
    filled := greatest(began, pace.filled_at);
    minutes := extract(epoch from filled - pace.filled_at) / 60;
    pace.requests := least(pace.requests_per_minute,
        pace.requests + minutes * pace.requests_per_minute);
    pace.tokens := least(pace.tokens_per_minute, pace.tokens + minutes * pace.tokens_per_minute);
    wait_seconds := extract(epoch from filled - began) + 60 * greatest(0,
        (1 - pace.requests) / pace.requests_per_minute,
        (least(wanted_tokens, pace.tokens_per_minute) - pace.tokens) / pace.tokens_per_minute);
    until := began + wait_seconds * interval '1 second';
    taken := wait_seconds <= patience;
    update provider_rate_limits p set
        configured_requests = requests_configured, configured_tokens = tokens_configured,
        requests_per_minute = pace.requests_per_minute, tokens_per_minute = pace.tokens_per_minute,
        requests = pace.requests - case when taken then 1 else 0 end,
        tokens = pace.tokens - case when taken then wanted_tokens else 0 end,
        filled_at = filled
    where p.org_id = org and p.provider = of_provider;
    return next;
end $$;

-- Reserve money for one attempt: returns its id, or why it is refused: the circuit breaker is open,
-- all workers pause, or the budget is used up (``until`` the next day).
create function reserve_attempt(
    org text, of_provider text, call uuid, of_model text, at_endpoint text, for_purpose text,
    max_usd numeric, budget_usd numeric, expires_after double precision,
    recordings uuid[], shares double precision[]
) returns table (attempt_id bigint, refusal text, until timestamptz, reason text, remedy text)
language plpgsql as $$
declare
    today date := (clock_timestamp() at time zone 'utc')::date;
    taken numeric;
begin
    select b.reason, b.remedy into reason, remedy from circuit_breakers b
    where b.org_id = org and b.provider = of_provider;
    if found then
        refusal := 'stopped';
        return next;
        return;
    end if;
    if exists (select from provider_rate_limits p where p.org_id = org and p.provider = of_provider
               and p.filled_at > clock_timestamp()) then
        refusal := 'held';
        return next;
        return;
    end if;
    if budget_usd is not null and max_usd > 0 then
        insert into spent_days (org_id, day) values (org, today) on conflict do nothing;
        select s.spent_usd into taken from spent_days s where s.org_id = org and s.day = today
        for update;
        select taken + coalesce(sum(a.reserved_usd), 0) into taken from provider_attempts a
        where a.org_id = org and a.day = today and a.state = 'reserved'
          and a.expires_at > clock_timestamp();
        if taken + max_usd > budget_usd then
            refusal := 'spent';
            until := (today + 1)::timestamp at time zone 'utc';
            reason := format('$%s of the day''s $%s are spent or reserved, and a request may cost $%s.',
                round(taken, 4), budget_usd, round(max_usd, 4));
            return next;
            return;
        end if;
    end if;
    insert into provider_attempts (org_id, call_id, provider, model, endpoint, purpose, day,
        reserved_usd, expires_at)
    values (org, call, of_provider, of_model, at_endpoint, for_purpose, today, max_usd,
        clock_timestamp() + expires_after * interval '1 second')
    returning id into attempt_id;
    insert into attempt_shares (org_id, attempt_id, recording_id, share)
    select org, attempt_id, f.recording, f.share
    from unnest(recordings, shares) as f (recording, share);
    return next;
end $$;
