-- name: find_answer
select reply, tries from batch_requests
where org_id = %(org_id)s and provider = %(provider)s and request_hash = %(request_hash)s

-- name: enqueue
with day as (
    select (now() at time zone 'utc')::date as today
), taken as (
    select coalesce((select sum(spent_usd) from spent_days, day
                     where org_id = %(org_id)s and spent_days.day = today), 0)
        + coalesce((select sum(max_usd) from batch_requests
                    where org_id = %(org_id)s and reply is null
                      and (batch_id is not null or tries < %(tries)s)), 0) as usd
), request as (
    insert into batch_requests (org_id, provider, endpoint, model, request_hash, body, purpose,
        max_usd)
    select %(org_id)s, %(provider)s, %(endpoint)s, %(model)s, %(request_hash)s, %(body)s,
        %(purpose)s, %(max_usd)s::double precision::numeric
    from taken
    where %(budget_usd)s::double precision is null
        or usd + %(max_usd)s <= %(budget_usd)s
        or exists (select from batch_requests where org_id = %(org_id)s
                   and provider = %(provider)s and request_hash = %(request_hash)s)
    on conflict (org_id, provider, request_hash) do update set model = excluded.model
    returning org_id, id
), wanted_by as (
    insert into batch_request_recordings (org_id, request_id, recording_id)
    select request.org_id, request.id, r.id
    from request join recordings r on r.org_id = request.org_id
    where r.id = any(%(recording_ids)s::uuid[])
    on conflict do nothing
)
select exists (select from request) as taken_on,
    (today + 1)::timestamp at time zone 'utc' as tomorrow
from day

-- name: recordings_in_batch_mode
select distinct recording_id::text as id from batch_request_recordings where recording_id = any(%(ids)s::uuid[])

-- name: delete_reply
delete from batch_requests
where org_id = %(org_id)s and provider = %(provider)s and request_hash = %(request_hash)s

-- name: gather
with waiting as (
    select org_id, provider, endpoint, model
    from batch_requests
    where batch_id is null and reply is null and tries < %(tries)s
      and provider = any(%(providers)s)
    group by org_id, provider, endpoint, model
    having max(created_at) < now() - %(quiet_seconds)s * interval '1 second'
        or count(*) >= %(max_requests)s
    order by min(id)
    limit 1
), picked as (
    select d.id, row_number() over (order by d.id) as place,
        sum(octet_length(d.body::text) + %(line_bytes)s) over (order by d.id) as bytes
    from batch_requests d join waiting w using (org_id, provider, endpoint, model)
    where d.batch_id is null and d.reply is null and d.tries < %(tries)s
), batch as (
    insert into batches (id, org_id, provider, endpoint, model)
    select %(id)s, org_id, provider, endpoint, model from waiting
    returning id
)
select id, (select array_agg(picked.id) from picked
            where place = 1 or place <= %(max_requests)s and bytes <= %(max_bytes)s) as requests
from batch

-- name: put_into
update batch_requests set batch_id = %(id)s, tries = tries + 1
where id = any(%(requests)s) and batch_id is null

-- name: begin_step
select pg_try_advisory_lock(hashtext('playhead deferred requests')) as mine

-- name: end_step
select pg_advisory_unlock(hashtext('playhead deferred requests'))

-- name: has_work
select exists (select from batches where ended_at is null)
    or exists (select from batch_requests
               where batch_id is null and reply is null and tries < %(tries)s) as anything

-- name: under_way
select id, org_id, provider, endpoint, model, remote_id from batches
where ended_at is null order by created_at, id

-- name: lines
select request_hash, endpoint, body from batch_requests
where org_id = %(org_id)s and batch_id = %(id)s order by id

-- name: submitted
update batches set remote_id = %(remote_id)s where id = %(id)s

-- name: answer
with given as (
    select * from unnest(%(hashes)s::text[], %(replies)s::jsonb[], %(calls)s::uuid[],
        %(costs)s::double precision[], %(inputs)s::bigint[], %(outputs)s::bigint[])
        as g (request_hash, reply, call_id, cost_usd, input_tokens, output_tokens)
), answered as (
    update batch_requests d set reply = g.reply, replied_at = now(), batch_id = null
    from given g
    where d.org_id = %(org_id)s and d.batch_id = %(id)s and d.request_hash = g.request_hash
    returning d.org_id, d.id, d.provider, d.model, d.purpose, g.call_id, g.cost_usd, g.input_tokens,
        g.output_tokens, (g.reply ->> 'status_code')::smallint as http_status
), attempts as (
    insert into provider_attempts (org_id, call_id, provider, model, endpoint, purpose, state, day,
        reserved_usd, cost_usd, input_tokens, output_tokens, http_status, expires_at, finished_at)
    select org_id, call_id, provider, model, 'batches', purpose,
        case when http_status = 200 then 'done' else 'failed' end,
        (now() at time zone 'utc')::date, 0, cost_usd, input_tokens, output_tokens, http_status,
        now(), now()
    from answered
    returning org_id, id, call_id, day, cost_usd
), shared as (
    insert into attempt_shares (org_id, attempt_id, recording_id, share)
    select t.org_id, t.id, f.recording_id, 1.0 / count(*) over (partition by t.id)
    from attempts t
    join answered a on a.call_id = t.call_id
    join batch_request_recordings f on f.org_id = a.org_id and f.request_id = a.id
), spent as (
    insert into spent_days (org_id, day, spent_usd)
    select org_id, day, sum(cost_usd) from attempts group by org_id, day
    on conflict (org_id, day) do update
    set spent_usd = spent_days.spent_usd + excluded.spent_usd
)
delete from parked_recordings p using batch_request_recordings f, answered a  -- who waits for no other goes on
where f.org_id = a.org_id and f.request_id = a.id
  and p.org_id = f.org_id and p.recording_id = f.recording_id
  and not exists (
      select from batch_request_recordings g join batch_requests d on d.org_id = g.org_id and d.id = g.request_id
      where g.org_id = p.org_id and g.recording_id = p.recording_id
        and d.reply is null and d.id not in (select id from answered))

-- name: release
update batch_requests set batch_id = null where org_id = %(org_id)s and batch_id = %(id)s

-- name: end
update batches set ended_at = now(), error = %(error)s where id = %(id)s

-- name: prune
delete from batch_requests
where (replied_at < now() - %(days)s * interval '1 day'
       or created_at < now() - 2 * %(days)s * interval '1 day')
  and batch_id is null
