-- name: set_org
select set_config('playhead.org', %(org_id)s, true), set_config('role', %(role)s, true)

-- name: backend
select pg_backend_pid() as pid
