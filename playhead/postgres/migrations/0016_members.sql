-- Who may do what in an organisation, and the tokens by which programs speak for a member.

create table members (
    org_id text not null references organisations,
    name text not null check (name ~ '^[^[:cntrl:]]{1,200}$' and name = btrim(name) and name <> ''),
    role text not null check (role in ('reader', 'editor', 'owner')),
    created_at timestamptz not null default now(),
    primary key (org_id, name)
);

-- Of a token's secret only the sha-256: of 256 random bits, so there is nothing to be guessed.
create table api_tokens (
    org_id text not null,
    id uuid not null default gen_random_uuid(),
    member text not null,
    name text not null,  -- what it is for, in its owner's words
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

select keep_apart('members'), keep_apart('api_tokens');
grant select, insert, update, delete on members to playhead_app;
-- A token is made here and never looked at again: only the owner compares secrets.
grant select (org_id, id, member, name, scopes, created_at, last_used_at, expires_at, revoked_at),
    insert, update (revoked_at)
on api_tokens to playhead_app;
