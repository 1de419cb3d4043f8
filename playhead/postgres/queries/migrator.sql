-- name: lock
-- Wait for the migration lock. It belongs to the transaction: a pooler would keep a session lock.
select pg_advisory_xact_lock(hashtext('playhead_migrations'))

-- name: pgvector_version
select coalesce(
    (select extversion from pg_extension where extname = 'vector'),
    (select default_version from pg_available_extensions where name = 'vector')) as version

-- name: add_pgvector
create extension if not exists vector

-- name: create_table
create table if not exists playhead_migrations (
    name text primary key,
    applied_at timestamptz not null default now()
)

-- name: applied
select name from playhead_migrations

-- name: record
insert into playhead_migrations (name) values (%(name)s)
