-- name: block_new_events
-- Store what a late worker reports about a deleted recording without naming the recording.
-- Of its partition key only the hash is kept: the key contains a slug of the title.
create table if not exists playhead_forgotten (
    id uuid primary key,
    key_sha256 text not null,
    forgotten_at timestamptz not null default now()
);
create index if not exists playhead_forgotten_key on playhead_forgotten (key_sha256);

create or replace function playhead_key_hash(key text) returns text
language sql immutable as $$ select encode(sha256(convert_to(key, 'UTF8')), 'hex') $$;

-- Return the partition keys in a text that belong to a deleted recording: they end with the last
-- digits of its id, and their hash is known.
create or replace function playhead_keys_in(content text, recording uuid, hash text)
returns setof text language sql immutable as $$
    select distinct found.key
    from regexp_matches(case when strpos(content, right(recording::text, 8)) > 0 then content end,
        '(?:^|[^a-z0-9-])([0-9]{4}-[0-9]{2}-[0-9]{2}-(?:[a-z0-9-]*-)?' || right(recording::text, 8) || ')',
        'g') as matched,
        lateral (select matched[1] as key) found
    where playhead_key_hash(found.key) = hash
$$;

-- Return the ids and partition keys in a text of recordings that were deleted lately.
create or replace function playhead_forgotten_in(content text) returns setof text
language sql stable as $$
    select f.id::text from playhead_forgotten f
    where f.forgotten_at > now() - interval '2 days'  -- longer than any run may take
      and strpos(content, f.id::text) > 0
    union all
    select k from playhead_forgotten f, playhead_keys_in(content, f.id, f.key_sha256) k
    where f.forgotten_at > now() - interval '2 days'
$$;

create or replace function playhead_is_forgotten(partition text) returns boolean
language sql stable as $$
    select exists (select from playhead_forgotten f where f.key_sha256 = playhead_key_hash(partition))
$$;

create or replace function playhead_guard_event() returns trigger language plpgsql as $$
declare
    forgotten text;
    told boolean := playhead_is_forgotten(new.partition);
begin
    for forgotten in select * from playhead_forgotten_in(new.event) loop
        told := told
            or coalesce(new.dagster_event_type, 'log') in ('log', 'ASSET_CHECK_EVALUATION');
        new.event := replace(new.event, forgotten, '00000000-0000-0000-0000-000000000000');
    end loop;
    if told then
        new.event := json_build_object('__class__', 'EventLogEntry', 'dagster_event', null,
            'error_info', null, 'level', 20, 'message', '', 'pipeline_name', null,
            'run_id', new.run_id, 'step_key', new.step_key,
            'timestamp', extract(epoch from new.timestamp),
            'user_message', 'A recording was deleted while it was processed.')::text;
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
    if exists (select from playhead_forgotten_in(new.last_materialization)) then
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

-- name: add_tombstones
insert into playhead_forgotten (id, key_sha256)
select id, hash from unnest(%(ids)s::uuid[], %(hashes)s::text[]) as r (id, hash)
on conflict (id) do update set forgotten_at = now()

-- name: keys
-- Find the keys of deleted recordings in Dagster's tables by their hashes.
select distinct t.key
from playhead_forgotten f, lateral (
    select d.partition as key from dynamic_partitions d
    where d.partition like '%%' || right(f.id::text, 8)
    union all
    select e.partition from event_logs e where e.partition like '%%' || right(f.id::text, 8)
    union all
    select c.partition from asset_check_executions c
    where c.partition like '%%' || right(f.id::text, 8)
    union all
    select r.value from run_tags r where r.value like '%%' || right(f.id::text, 8)
    union all
    select k from runs r, playhead_keys_in(r.run_body, f.id, f.key_sha256) k
    union all
    select k from event_logs e, playhead_keys_in(e.event, f.id, f.key_sha256) k
    union all
    select k from bulk_actions b, playhead_keys_in(b.body, f.id, f.key_sha256) k
) t
where f.id = any(%(ids)s::uuid[]) and playhead_key_hash(t.key) = f.key_sha256

-- name: wait_for_writers
lock table event_logs, asset_event_tags, asset_keys, asset_check_executions
in share row exclusive mode

-- name: own_runs
-- Those that nobody works on and that were about these recordings alone.
select r.run_id from runs r
where r.status not in ('STARTING', 'STARTED', 'CANCELING') and (
    exists (select from run_tags t where t.run_id = r.run_id and t.key = 'dagster/partition'
            and t.value = any(%(names)s))
    or r.pipeline_name = 'ingest_inbox_file' and exists (
        select from event_logs e, unnest(%(names)s::text[]) as name
        where e.run_id = r.run_id and strpos(e.event, name) > 0))

-- name: delete_tags
delete from asset_event_tags
where event_id in (select id from event_logs where partition = any(%(names)s))

-- name: delete_events
delete from event_logs e
where e.partition = any(%(names)s)
   or coalesce(e.dagster_event_type, 'log') in ('log', 'ASSET_CHECK_EVALUATION') and exists (
        select from unnest(%(names)s::text[]) as name where strpos(e.event, name) > 0)

-- name: delete_checks
delete from asset_check_executions where partition = any(%(names)s)

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
    select from unnest(%(names)s::text[]) as name
    where strpos(k.last_materialization, name) > 0 or strpos(k.cached_status_data, name) > 0)

-- name: move_range_starts
-- A run over a range that began with it begins with its neighbour.
with neighbour as (
    select (select n.partition from dynamic_partitions n
            where n.partitions_def_name = o.partitions_def_name and n.id > o.id
            order by n.id limit 1) as id
    from dynamic_partitions o where o.partition = %(key)s
), moved as (
    update run_tags t set value = neighbour.id from neighbour
    where t.key = 'dagster/asset_partition_range_start' and t.value = %(key)s
      and neighbour.id is not null
    returning t.run_id
)
update runs r set run_body = replace(r.run_body, %(key)s, neighbour.id)
from neighbour, moved where r.run_id = moved.run_id

-- name: move_range_ends
with neighbour as (
    select (select n.partition from dynamic_partitions n
            where n.partitions_def_name = o.partitions_def_name and n.id < o.id
            order by n.id desc limit 1) as id
    from dynamic_partitions o where o.partition = %(key)s
), moved as (
    update run_tags t set value = neighbour.id from neighbour
    where t.key = 'dagster/asset_partition_range_end' and t.value = %(key)s
      and neighbour.id is not null
    returning t.run_id
)
update runs r set run_body = replace(r.run_body, %(key)s, neighbour.id)
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
