-- name: differences
with desired as (
    select w.*, array_position(
        array['raw_media', 'transcript', 'document', 'chunks', 'embeddings'], w.stage) as place
    from unnest(%(stages)s::text[], %(org_ids)s::text[], %(kinds)s::text[],
        %(transcribers)s::text[], %(writers)s::text[], %(sets)s::integer[], %(recipes)s::text[])
        as w (stage, org_id, kind, transcriber, writer, set_id, recipe_hash)
), behind as (
    select s.id as set_id, l.org_id, l.recording_id
    from embedding_sets s, missing_recordings(s.id) l
    where s.state in ('building', 'standby')
), compared as (
    select r.id, w.stage, w.set_id, w.place, w.recipe_hash as wanted, s.recipe_hash as made_by,
        s.id as result_id,
        coalesce(m.duration_seconds, 0) as seconds,
        case
            when d.stage = w.stage then 'failed'
            when d.stage is not null and s.id is null then null  -- it waits for that one
            when s.id is null then 'missing'
            when s.recipe_hash <> w.recipe_hash and c.pinned_by is not null then 'pinned'
            when s.recipe_hash <> w.recipe_hash then 'stale'
            when w.set_id in (0, (select active_set())) and w.place > r.stages_done then 'outdated'
            when b.set_id is not null then 'outdated'
        end as reason
    from recordings r
    join desired w on w.org_id = r.org_id and w.kind = r.kind
        and w.transcriber is not distinct from r.transcriber
        and w.writer is not distinct from r.writer
    left join current_results c on c.org_id = r.org_id and c.recording_id = r.id
        and c.stage = w.stage and c.set_id = w.set_id
    left join stage_results s on s.id = c.result_id and s.state = 'done'
    left join current_results cm on cm.org_id = r.org_id and cm.recording_id = r.id
        and cm.stage = 'raw_media'
    left join raw_media m on m.result_id = cm.result_id
    left join dead_letters d on d.org_id = r.org_id and d.recording_id = r.id
        and d.resolved_at is null
    left join behind b on b.org_id = r.org_id and b.recording_id = r.id
        and b.set_id = w.set_id and w.stage = 'embeddings'
    where (%(org_id)s::text is null or r.org_id = %(org_id)s)
      and (%(kind)s::text is null or r.kind = %(kind)s)
      and (%(since)s::timestamptz is null or r.created_at >= %(since)s)
), changed as (
    select id, min(place) as place from compared
    where reason in ('missing', 'stale', 'outdated') group by id
), differing as (
    select stage, set_id, place, reason, wanted, made_by, seconds, result_id
    from compared where reason is not null
    union all
    -- What is made anew at one stage may change what the stages after it are made from.
    select c.stage, c.set_id, c.place, 'downstream', c.wanted, c.made_by, c.seconds, c.result_id
    from compared c join changed on changed.id = c.id
    where c.reason is null and c.place > changed.place
)
select stage, set_id, reason, wanted, count(*) as recordings, sum(seconds) as audio_seconds,
    (select recipe from stage_results where id = min(result_id)) as recipe
from differing
where stage = any(%(only)s::text[])
group by stage, set_id, place, reason, wanted, made_by
order by place, set_id, reason

-- name: orphaned
select s.stage, 0 as set_id, 'orphaned' as reason, null as wanted, count(*) as recordings,
    0 as audio_seconds, null as recipe
from stage_results s
join recordings r on r.org_id = s.org_id and r.id = s.recording_id
where s.state = 'running' and s.stage = any(%(only)s::text[])
  and not exists (select from live_results l where l.id = s.id)
  and (%(org_id)s::text is null or r.org_id = %(org_id)s)
  and (%(kind)s::text is null or r.kind = %(kind)s)
  and (%(since)s::timestamptz is null or r.created_at >= %(since)s)
group by s.stage

-- name: averages
with sampled as (
    select org_id, id from recordings where stages_done = 5 order by id desc limit 200
), cut as (
    select count(*) as chunks, coalesce(sum(c.token_count), 0) as tokens
    from sampled r
    join embedded_recordings e on e.org_id = r.org_id and e.recording_id = r.id
        and e.set_id = active_set()
    join chunks c on c.org_id = r.org_id and c.recording_id = r.id
        and c.recipe_hash = e.chunk_recipe_hash
)
select cut.chunks::double precision / greatest(1, n) as chunks,
    cut.tokens::double precision / greatest(1, n) as tokens
from cut, (select count(*) as n from sampled) as sampled_count

-- name: seconds_per_recording
select stage, recipe_hash, avg(extract(epoch from finished_at - started_at))::double precision
    as seconds
from (select * from stage_results where state = 'done' order by id desc limit 5000) as recent
group by stage, recipe_hash

-- name: open_plan
insert into plans (stages, set_id, org_id, kind, since, author, estimated_usd, confirmed_usd,
    batch)
values (%(stages)s, %(set_id)s, %(org_id)s, %(kind)s, %(since)s, %(author)s, %(estimated_usd)s,
    %(confirmed_usd)s, %(batch)s)
on conflict (set_id) where state = 'open' and set_id is not null do nothing
returning id

-- name: plans
select id, stages, set_id, org_id, kind, since, author, estimated_usd, confirmed_usd, batch, state,
    created_at, ended_at
from plans
where %(id)s::integer is null or id = %(id)s
order by id

-- name: open_plans
select id, stages, set_id, org_id, kind, since, author, estimated_usd, confirmed_usd, batch, state,
    created_at, ended_at
from plans where state = 'open' order by id

-- name: end_plan
update plans set state = %(state)s, ended_at = now() where id = %(id)s and state = 'open'

-- name: batch
with desired as materialized (  -- one row for each way that engines are chosen
    select org_id, kind, transcriber, writer, array_agg(stage) as stages,
        array_agg(set_id) as sets, array_agg(recipe_hash) as recipes
    from unnest(%(stages)s::text[], %(org_ids)s::text[], %(kinds)s::text[],
        %(transcribers)s::text[], %(writers)s::text[], %(sets)s::integer[], %(recipes)s::text[])
        as w (stage, org_id, kind, transcriber, writer, set_id, recipe_hash)
    group by org_id, kind, transcriber, writer
)
select r.id, r.org_id, r.sha256, r.size_bytes, r.kind, r.title, r.language, r.partition_key, r.suffix,
    r.transcriber, r.writer, r.speakers
from recordings r
join plans p on p.id = %(plan)s
join desired on desired.org_id = r.org_id and desired.kind = r.kind
    and desired.transcriber is not distinct from r.transcriber
    and desired.writer is not distinct from r.writer
where (p.position is null or r.id > p.position)
  and r.stages_done = 5
  and (p.org_id is null or r.org_id = p.org_id)
  and (p.kind is null or r.kind = p.kind)
  and (p.since is null or r.created_at >= p.since)
  and not exists (select from dead_letters d where d.org_id = r.org_id and d.recording_id = r.id
                  and d.resolved_at is null)
  and not exists (select from parked k where k.org_id = r.org_id and k.recording_id = r.id)
  and not exists (select from live_results l where l.recording_id = r.id)
  and (r.requested_at is null or r.requested_at < now() - interval '1 minute')
  and exists (
      select
      from unnest(desired.stages, desired.sets, desired.recipes) as w (stage, set_id, recipe_hash)
      left join current_results c on c.org_id = r.org_id and c.recording_id = r.id
          and c.stage = w.stage and c.set_id = w.set_id
      left join stage_results s on s.id = c.result_id and s.state = 'done'
      where w.stage = any(p.stages)
        and (p.set_id is null or w.set_id = p.set_id)
        and s.recipe_hash is distinct from w.recipe_hash and c.pinned_by is null)
  and not exists (
      select from stage_results f
      where f.org_id = r.org_id and f.recording_id = r.id and f.state = 'failed'
        and f.attempt >= %(tries)s and f.recipe_hash = any(%(recipes)s::text[]))
order by r.id
limit %(limit)s

-- name: missing_batch
select r.id, r.org_id, r.sha256, r.size_bytes, r.kind, r.title, r.language, r.partition_key, r.suffix,
    r.transcriber, r.writer, r.speakers
from missing_recordings(%(set_id)s) l
join recordings r on r.org_id = l.org_id and r.id = l.recording_id
where not exists (select from live_results live where live.recording_id = r.id)
  and not exists (select from parked k where k.org_id = r.org_id and k.recording_id = r.id)
  and (r.requested_at is null or r.requested_at < now() - interval '1 minute')
  and not exists (
      select from stage_results f
      where f.org_id = r.org_id and f.recording_id = r.id and f.state = 'failed'
        and f.attempt >= %(tries)s and f.recipe_hash = any(%(recipes)s::text[]))
order by r.id
limit %(limit)s

-- name: advance_cursor
update plans set position = %(position)s where id = %(id)s

-- name: in_progress
select exists (
    select from recordings r
    where r.requested_at >= now() - interval '1 minute'
      and not exists (select from dead_letters d where d.org_id = r.org_id
                      and d.recording_id = r.id and d.resolved_at is null)
    union all
    select from parked k
    join recordings r on r.org_id = k.org_id and r.id = k.recording_id
    where r.stages_done = 5
    union all
    select from live_results) as at_work
