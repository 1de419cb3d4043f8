-- name: old_runs
-- Ended before, and not pruned yet: a run that is kept for its failed partitions has no end any more.
select r.run_id
from runs r
where r.status in ('SUCCESS', 'FAILURE', 'CANCELED') and r.update_timestamp < %(before)s
  and exists (
      select from event_logs e
      where e.run_id = r.run_id
        and coalesce(e.dagster_event_type, 'log') not in (
            'ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED', 'ASSET_OBSERVATION'))
order by r.id
limit %(limit)s

-- name: prune_events
-- All but the newest of each asset's partitions: its materialisation, what was observed since, and
-- that one was planned since, which is how Dagster shows it as failed.
with gone as (
    delete from event_logs e
    where e.run_id = any(%(runs)s) and e.timestamp < %(before)s
      and (coalesce(e.dagster_event_type, 'log') not in (
              'ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED', 'ASSET_OBSERVATION')
          or exists (
              select from event_logs n
              where n.asset_key = e.asset_key and n.partition = e.partition and n.id > e.id
                and n.dagster_event_type in ('ASSET_MATERIALIZATION', e.dagster_event_type))
          or e.partition is null and exists (
              select from event_logs n
              where n.asset_key = e.asset_key and n.partition is null and n.id > e.id
                and n.dagster_event_type in ('ASSET_MATERIALIZATION', e.dagster_event_type)))
    returning id, dagster_event_type
), untagged as (
    delete from asset_event_tags t using gone
    where t.event_id = gone.id
      and gone.dagster_event_type in ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
)
select count(*) as events from gone

-- name: prune_checks
-- All but the newest verdict of each check and partition.
with ranked as (
    select id, execution_status, create_timestamp,
        max(id) filter (where execution_status <> 'PLANNED')
            over (partition by asset_key, check_name, partition) as newest
    from asset_check_executions
), old as (
    select id from ranked
    where create_timestamp < %(before)s and (execution_status = 'PLANNED' or id < newest)
    limit %(limit)s
)
delete from asset_check_executions c using old where c.id = old.id

-- name: prune_runs
delete from runs r
where r.run_id = any(%(runs)s) and not exists (
    select from event_logs e
    where e.run_id = r.run_id and e.dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED')
returning r.run_id

-- name: prune_backfills
with gone as (
    delete from bulk_actions
    where timestamp < %(before)s and status in ('COMPLETED', 'COMPLETED_SUCCESS',
        'COMPLETED_FAILED', 'FAILED', 'CANCELED')
    returning key
)
delete from backfill_tags t using gone where t.backfill_id = gone.key
