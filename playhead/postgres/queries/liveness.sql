-- name: hold
select pg_advisory_lock_shared(playhead_liveness_class(), hashtext(%(role)s))

-- name: release
select pg_advisory_unlock_shared(playhead_liveness_class(), hashtext(%(role)s))

-- name: heartbeat
select 1

-- name: not_alive
select requested.role from unnest(%(roles)s::text[]) as requested (role)
where not exists (
    select from live_processes a
    where a.role = hashtext(requested.role)::oid and a.silent_seconds < %(silent)s)

-- name: select_stalled
select distinct application_name from live_processes where silent_seconds >= %(silent)s

-- name: terminate
select count(*) filter (where pg_terminate_backend(pid, 5000)) as ended
from pg_stat_activity
where datname = current_database() and application_name = any(%(names)s)

-- name: listen
listen playhead_pending
