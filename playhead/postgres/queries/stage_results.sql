-- name: claim
select claimed.*
from unnest(%(org_ids)s::text[], %(ids)s::uuid[], %(stages)s::text[], %(inputs)b::jsonb[],
    %(input_hashes)s::text[], %(recipes)b::jsonb[], %(recipe_hashes)s::text[]) with ordinality
    as w (org_id, id, stage, inputs, input_hash, recipe, recipe_hash, place)
cross join lateral claim_result(w.org_id, w.id, w.stage, w.inputs, w.input_hash, w.recipe,
    w.recipe_hash, %(run_id)s, %(detail)s, %(deaths)s) as claimed
order by place

-- name: found
select * from stage_results where id = %(id)s

-- name: lock
select pg_advisory_lock(playhead_lock_class(), %(id)s)

-- name: start
update stage_results
set state = 'running', attempt = attempt + 1, run_id = %(run_id)s, started_at = now(),
    finished_at = null, percent = 0, detail = %(detail)s, error = null
where id = %(id)s and state <> 'done'
returning *

-- name: progress
update stage_results s set percent = %(percent)s, detail = %(detail)s
from unnest(%(ids)s::integer[], %(attempts)s::integer[]) as c (id, attempt)
where s.id = c.id and s.attempt = c.attempt and s.state = 'running'

-- name: finish
update stage_results s
set state = 'done', finished_at = clock_timestamp(), percent = 100, output_hash = c.output_hash,
    tokens = tokens + %(tokens)s, cost_usd = cost_usd + %(cost_usd)s
from unnest(%(ids)s::integer[], %(attempts)s::integer[], %(output_hashes)s::text[])
    as c (id, attempt, output_hash)
where s.id = c.id and s.attempt = c.attempt and s.state = 'running'
returning s.*

-- name: make_current
select make_current(id, %(sets)s, %(by_whom)s, %(progressed)s)
from unnest(%(ids)s::integer[]) as id

-- name: fail
update stage_results
set state = 'failed', finished_at = clock_timestamp(), error = %(error)s
where id = %(id)s and attempt = %(attempt)s and state = 'running'
returning *

-- name: dead_letter_crashed
insert into dead_letters
    (org_id, recording_id, result_id, stage, error_class, message, remedy, attempts, run_id)
select org_id, recording_id, id, stage, error ->> 'class', error ->> 'message',
    error ->> 'remedy', attempt, run_id
from stage_results where id = %(id)s and state = 'failed'
on conflict (org_id, recording_id) where resolved_at is null do nothing

-- name: release
update stage_results s set state = 'waiting', parks = parks + 1, percent = 0, detail = ''
from unnest(%(ids)s::integer[], %(attempts)s::integer[]) as c (id, attempt)
where s.id = c.id and s.attempt = c.attempt and s.state = 'running'

-- name: park
with parked as (
    insert into parked_recordings
        (org_id, recording_id, stage, until, error_class, reason, remedy)
    select org_id, recording_id, stage, %(until)s, %(error_class)s, %(reason)s, %(remedy)s
    from stage_results where id = %(id)s and attempt = %(attempt)s and state = 'waiting'
    on conflict (org_id, recording_id) do update
    set (stage, until, error_class, reason, remedy, parked_at) = (excluded.stage, excluded.until,
        excluded.error_class, excluded.reason, excluded.remedy, excluded.parked_at)
    returning org_id, recording_id
)
update recordings r set requested_at = null, requests = 0
from parked p where r.org_id = p.org_id and r.id = p.recording_id

-- name: crashed
select s.* from stage_results s
where s.state = 'running' and s.attempt - s.parks >= %(attempts)s
  and not exists (select from live_results l where l.id = s.id)

-- name: dead_letter_stalled
insert into dead_letters
    (org_id, recording_id, stage, error_class, message, remedy, attempts, run_id)
select r.org_id, r.id,
    (array['raw_media', 'transcript', 'document', 'chunks', 'embeddings'])[r.stages_done + 1],
    'RunFailed', %(message)s, 'Look at the run in Dagster, then: playhead retry ' || r.id,
    r.requests, %(run_id)s
from recordings r
where r.id = any(%(ids)s::uuid[]) and r.requests >= %(requests)s and r.stages_done < 5
  and not exists (select from live_results l where l.recording_id = r.id)
on conflict (org_id, recording_id) where resolved_at is null do nothing

-- name: supersede
-- Looked up one by one, as in put_vectors.
update stage_results s set state = 'superseded'
where s.id = any(array(
    select old.id
    from (select * from stage_results where id = any(%(ids)s::integer[]) offset 0) made
    cross join lateral (
        select id from stage_results o
        where o.org_id = made.org_id and o.recording_id = made.recording_id
          and o.stage = made.stage and o.recipe - 'code_version' = made.recipe - 'code_version'
          and o.state = 'done' and o.id <> made.id
        offset 0
    ) old))

-- name: current_results
select c.recording_id, c.stage, c.set_id, c.pinned_by, s.id, s.output_hash, s.recipe,
    s.recipe_hash, s.inputs, s.input_hash, s.run_id, s.attempt, s.started_at, s.finished_at, s.tokens, s.cost_usd
from unnest(%(ids)s::uuid[]) as r (id)
join current_results c on c.org_id = %(org_id)s and c.recording_id = r.id
join stage_results s  -- by the whole key, or all of an organisation's are read
    on s.org_id = c.org_id and s.recording_id = c.recording_id and s.id = c.result_id
    and s.state = 'done'

-- name: lineage
select s.stage, s.id as result_id, s.inputs, s.input_hash, s.recipe, s.recipe_hash,
    s.output_hash, s.run_id, s.attempt, s.started_at, s.finished_at, s.tokens, s.cost_usd,
    c.pinned_by, c.set_id
from current_results c
join stage_results s
    on s.org_id = c.org_id and s.recording_id = c.recording_id and s.id = c.result_id
where c.org_id = %(org_id)s and c.recording_id = %(recording_id)s
  and c.set_id in (0, active_set())
order by s.id

-- name: lock_texts
select pg_advisory_lock(key) from (
    select hashtextextended(%(set_id)s::text || ' ' || %(org_id)s || ' ' || hash, 0) as key
    from unnest(%(hashes)s::text[]) as hash
    order by key
) as texts
