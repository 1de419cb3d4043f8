-- name: guard
-- What a worker that is still at a forgotten recording tells Dagster is stored without it.
create table if not exists playhead_forgotten (
    id uuid primary key,
    forgotten_at timestamptz not null default now()
);

create or replace function playhead_forgotten_lately() returns setof text
language sql stable as $$
    select id::text from playhead_forgotten
    where forgotten_at > now() - interval '2 days'  -- longer than any run may take
$$;

create or replace function playhead_is_forgotten(partition text) returns boolean
language sql stable as $$
    select case when partition ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        then exists (select from playhead_forgotten f where f.id = partition::uuid)
        else false end
$$;

create or replace function playhead_guard_event() returns trigger language plpgsql as $$
declare
    forgotten text;
    told boolean := playhead_is_forgotten(new.partition);
begin
    for forgotten in select * from playhead_forgotten_lately() loop
        if strpos(new.event, forgotten) > 0 then
            told := told
                or coalesce(new.dagster_event_type, 'log') in ('log', 'ASSET_CHECK_EVALUATION');
            new.event := replace(new.event, forgotten, '00000000-0000-0000-0000-000000000000');
        end if;
    end loop;
    if told then
        new.event := json_build_object('__class__', 'EventLogEntry', 'dagster_event', null,
            'error_info', null, 'level', 20, 'message', '', 'pipeline_name', null,
            'run_id', new.run_id, 'step_key', new.step_key,
            'timestamp', extract(epoch from new.timestamp),
            'user_message', 'A recording was forgotten while a worker was at it.')::text;
        new.dagster_event_type := null;
        new.asset_key := null;
        new.partition := null;
    end if;
    return new;
end $$;
create or replace trigger playhead_guard before insert on event_logs
for each row execute function playhead_guard_event();

create or replace function playhead_guard_tag() returns trigger language plpgsql as $$
begin
    if exists (select from event_logs e where e.id = new.event_id and e.asset_key is null) then
        return null;
    end if;
    return new;
end $$;
create or replace trigger playhead_guard before insert on asset_event_tags
for each row execute function playhead_guard_tag();

create or replace function playhead_guard_asset() returns trigger language plpgsql as $$
begin
    if exists (select from playhead_forgotten_lately() as forgotten
               where strpos(new.last_materialization, forgotten) > 0) then
        new.last_materialization := case when tg_op = 'UPDATE' then old.last_materialization end;
    end if;
    return new;
end $$;
create or replace trigger playhead_guard before insert or update on asset_keys
for each row execute function playhead_guard_asset();

create or replace function playhead_guard_check() returns trigger language plpgsql as $$
begin
    if playhead_is_forgotten(new.partition) then
        return null;
    end if;
    return new;
end $$;
create or replace trigger playhead_guard before insert or update on asset_check_executions
for each row execute function playhead_guard_check();

-- name: bury
insert into playhead_forgotten (id) select unnest(%(ids)s::uuid[])
on conflict (id) do update set forgotten_at = now()

-- name: wait_for_writers
lock table event_logs, asset_event_tags, asset_keys, asset_check_executions
in share row exclusive mode

-- name: own_runs
-- Those that nobody works on and that were about these recordings alone.
select r.run_id from runs r
where r.status not in ('STARTING', 'STARTED', 'CANCELING') and (
    exists (select from run_tags t where t.run_id = r.run_id and t.key = 'dagster/partition'
            and t.value = any(%(ids)s))
    or r.pipeline_name = 'collect_file' and exists (
        select from event_logs e, unnest(%(ids)s::text[]) as one
        where e.run_id = r.run_id and strpos(e.event, one) > 0))

-- name: forget_tags
delete from asset_event_tags
where event_id in (select id from event_logs where partition = any(%(ids)s))

-- name: forget_events
delete from event_logs e
where e.partition = any(%(ids)s)
   or coalesce(e.dagster_event_type, 'log') in ('log', 'ASSET_CHECK_EVALUATION') and exists (
        select from unnest(%(ids)s::text[]) as one where strpos(e.event, one) > 0)

-- name: forget_checks
delete from asset_check_executions where partition = any(%(ids)s)

-- name: last_materialisations
-- An asset's own row repeats its newest materialisation word by word.
update asset_keys k set
    cached_status_data = null,
    last_materialization = (
        select '{"__class__": "EventLogRecord", "event_log_entry": ' || e.event
            || ', "storage_id": ' || e.id || '}'
        from event_logs e
        where e.asset_key = k.asset_key and e.dagster_event_type = 'ASSET_MATERIALIZATION'
        order by e.id desc limit 1)
where exists (
    select from unnest(%(ids)s::text[]) as one
    where strpos(k.last_materialization, one) > 0 or strpos(k.cached_status_data, one) > 0)

-- name: move_range_starts
-- A run over a range that began with it begins with its neighbour.
with neighbour as (
    select (select n.partition from dynamic_partitions n
            where n.partitions_def_name = o.partitions_def_name and n.id > o.id
            order by n.id limit 1) as id
    from dynamic_partitions o where o.partition = %(id)s
), moved as (
    update run_tags t set value = neighbour.id from neighbour
    where t.key = 'dagster/asset_partition_range_start' and t.value = %(id)s
      and neighbour.id is not null
    returning t.run_id
)
update runs r set run_body = replace(r.run_body, %(id)s, neighbour.id)
from neighbour, moved where r.run_id = moved.run_id

-- name: move_range_ends
with neighbour as (
    select (select n.partition from dynamic_partitions n
            where n.partitions_def_name = o.partitions_def_name and n.id < o.id
            order by n.id desc limit 1) as id
    from dynamic_partitions o where o.partition = %(id)s
), moved as (
    update run_tags t set value = neighbour.id from neighbour
    where t.key = 'dagster/asset_partition_range_end' and t.value = %(id)s
      and neighbour.id is not null
    returning t.run_id
)
update runs r set run_body = replace(r.run_body, %(id)s, neighbour.id)
from neighbour, moved where r.run_id = moved.run_id

-- name: shared
-- Texts that tell of many recordings at once, or of files that came in.
select "table", "column", words from (values
    ('event_logs', 'event', false),
    ('asset_check_executions', 'evaluation_event', false),
    ('run_tags', 'value', true),
    ('runs', 'run_body', true),
    ('bulk_actions', 'body', true),
    ('job_ticks', 'tick_body', true),
    ('instigators', 'instigator_body', true),
    ('kvs', 'value', true)) as texts ("table", "column", words)

-- name: replace
update {table} set {column} = replace({column}, %(old)s, %(new)s)
where strpos({column}, %(old)s) > 0
