-- name: hold
select pg_advisory_lock_shared(playhead_attendance_class(), hashtext(%(duty)s))

-- name: release
select pg_advisory_unlock_shared(playhead_attendance_class(), hashtext(%(duty)s))

-- name: say
select 1

-- name: unattended
select wanted.duty from unnest(%(duties)s::text[]) as wanted (duty)
where not exists (
    select from attendances a
    where a.duty = hashtext(wanted.duty)::oid and a.silent_seconds < %(silent)s)

-- name: silent
select distinct application_name from attendances where silent_seconds >= %(silent)s

-- name: end
select count(*) filter (where pg_terminate_backend(pid, 5000)) as ended
from pg_stat_activity
where datname = current_database() and application_name = any(%(names)s)

-- name: listen
listen playhead_waiting
