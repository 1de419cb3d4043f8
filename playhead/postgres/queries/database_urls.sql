-- name: lock
select pg_advisory_lock(hashtext('playhead_create_database'))

-- name: exists
select 1 from pg_database where datname = %(name)s
