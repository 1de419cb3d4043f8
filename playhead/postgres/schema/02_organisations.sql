-- Organisations, their members, and the API tokens of members.
-- Every table has org_id, and every key and reference includes it.

create table organisations (
    id text primary key check (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz not null default now()
);

create table members (
    org_id text not null references organisations,
    name text not null check (name ~ '^[^[:cntrl:]]{1,200}$' and name = btrim(name) and name <> ''),
    role text not null check (role in ('reader', 'editor', 'owner')),
    created_at timestamptz not null default now(),
    primary key (org_id, name)
);

-- Only the sha-256 of a token's secret is stored; the secret has 256 random bits.
create table api_tokens (
    org_id text not null,
    id uuid not null default gen_random_uuid(),
    member text not null,
    name text not null,  -- its purpose, in its owner's words
    secret_sha256 bytea not null check (length(secret_sha256) = 32),
    scopes text[] not null
        check (scopes <@ array['read', 'write', 'manage'] and cardinality(scopes) > 0),
    created_at timestamptz not null default now(),
    last_used_at timestamptz,  -- to the minute
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (org_id, id),
    unique (secret_sha256, org_id),  -- looked up before the organisation is known
    foreign key (org_id, member) references members on delete cascade
);
create index api_tokens_member on api_tokens (org_id, member);
