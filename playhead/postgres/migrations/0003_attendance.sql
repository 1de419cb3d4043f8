-- Who is at work, and how they are told that something waits.

-- A process at work holds advisory locks of this class on one session: one a duty, its hash.
create function playhead_attendance_class() returns integer
language sql immutable as $$ select 1886151034 $$;  -- one after playhead_lock_class()

-- ``silent_seconds``: since when the session has said nothing. Whoever attends says something
-- every few seconds, so one that is silent for long hangs, or its machine is gone.
create view attendances as
select l.objid as duty, a.pid, a.application_name,
    case when a.state = 'idle'
        then extract(epoch from clock_timestamp() - a.state_change) else 0 end as silent_seconds
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid = playhead_attendance_class()::oid
  and l.database = (select oid from pg_database where datname = current_database());

create function notify_waiting() returns trigger language plpgsql as $$
begin
    perform pg_notify('playhead_waiting', '');
    return null;
end $$;

create trigger recordings_added after insert on recordings
    for each statement execute function notify_waiting();
create trigger plans_opened after insert on plans
    for each statement execute function notify_waiting();
create trigger recordings_set_back after update of stages_done on recordings
    for each row when (new.stages_done < old.stages_done) execute function notify_waiting();
create trigger dead_letters_resolved after update of resolved_at on dead_letters
    for each row when (old.resolved_at is null and new.resolved_at is not null)
    execute function notify_waiting();
