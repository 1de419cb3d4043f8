-- Requests that may wait a day for half the price. Each is named by its content, so it is asked
-- once however often somebody wants it.

create table batches (
    id uuid primary key,  -- ours; the provider's batch carries it as metadata
    org_id text not null references organisations,
    provider text not null,
    endpoint text not null,
    model text not null,
    remote_id text,  -- null: nobody saw the provider take it
    error text,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    unique (org_id, id)
);
create index batches_under_way on batches (created_at) where ended_at is null;

create table deferred_requests (
    id bigint generated always as identity primary key,
    org_id text not null references organisations,
    provider text not null,
    endpoint text not null,
    model text not null,
    request_hash text not null check (length(request_hash) = 64),
    body jsonb not null,
    purpose text not null,
    at_most_usd numeric not null,  -- what it is reserved for while it waits
    tries integer not null default 0,  -- batches it was in
    batch_id uuid,  -- that it is in now
    reply jsonb,  -- {"status_code", "body"}
    created_at timestamptz not null default now(),
    replied_at timestamptz,
    unique (org_id, provider, request_hash),
    unique (org_id, id),
    foreign key (org_id, batch_id) references batches (org_id, id)
);
create index deferred_requests_waiting on deferred_requests (id)
    where batch_id is null and reply is null;
create index deferred_requests_of_batch on deferred_requests (org_id, batch_id);

-- The recordings that a request is made for, and has the words of.
create table deferred_for (
    org_id text not null,
    request_id bigint not null,
    recording_id uuid not null,
    primary key (org_id, request_id, recording_id),
    foreign key (org_id, request_id) references deferred_requests (org_id, id) on delete cascade,
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index deferred_for_recording on deferred_for (recording_id);

-- Whether a plan's calls may wait for a batch.
alter table plans add column patient boolean not null default false;
