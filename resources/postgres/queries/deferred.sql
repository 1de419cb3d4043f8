-- name: find
select reply, tries from deferred_requests
where org_id = %(org_id)s and provider = %(provider)s and request_hash = %(request_hash)s

-- name: defer
with request as (
    insert into deferred_requests (org_id, provider, endpoint, model, request_hash, body)
    values (%(org_id)s, %(provider)s, %(endpoint)s, %(model)s, %(request_hash)s, %(body)s)
    on conflict (org_id, provider, request_hash) do update set model = excluded.model
    returning org_id, id
)
insert into deferred_for (org_id, request_id, recording_id)
select request.org_id, request.id, r.id
from request join recordings r on r.org_id = request.org_id
where r.id = any(%(recording_ids)s::uuid[])
on conflict do nothing

-- name: forget_reply
delete from deferred_requests
where org_id = %(org_id)s and provider = %(provider)s and request_hash = %(request_hash)s

-- name: gather
with waiting as (
    select org_id, provider, endpoint, model
    from deferred_requests
    where batch_id is null and reply is null and tries < %(tries)s
      and provider = any(%(providers)s)
    group by org_id, provider, endpoint, model
    having max(created_at) < now() - %(quiet_seconds)s * interval '1 second'
        or count(*) >= %(most_requests)s
    order by min(id)
    limit 1
), picked as (
    select d.id, row_number() over (order by d.id) as place,
        sum(octet_length(d.body::text) + %(line_bytes)s) over (order by d.id) as bytes
    from deferred_requests d join waiting w using (org_id, provider, endpoint, model)
    where d.batch_id is null and d.reply is null and d.tries < %(tries)s
), batch as (
    insert into batches (id, org_id, provider, endpoint, model)
    select %(id)s, org_id, provider, endpoint, model from waiting
    returning id
)
select id, (select array_agg(picked.id) from picked
            where place = 1 or place <= %(most_requests)s and bytes <= %(most_bytes)s) as requests
from batch

-- name: put_into
update deferred_requests set batch_id = %(id)s, tries = tries + 1
where id = any(%(requests)s) and batch_id is null

-- name: under_way
select id, org_id, provider, endpoint, model, remote_id from batches
where ended_at is null order by created_at, id

-- name: lines
select request_hash, endpoint, body from deferred_requests
where org_id = %(org_id)s and batch_id = %(id)s order by id

-- name: submitted
update batches set remote_id = %(remote_id)s where id = %(id)s

-- name: answer
update deferred_requests d set reply = r.reply, replied_at = now(), batch_id = null
from unnest(%(hashes)s::text[], %(replies)s::jsonb[]) as r (request_hash, reply)
where d.org_id = %(org_id)s and d.batch_id = %(id)s and d.request_hash = r.request_hash

-- name: release
update deferred_requests set batch_id = null where org_id = %(org_id)s and batch_id = %(id)s

-- name: end
update batches set ended_at = now(), error = %(error)s where id = %(id)s

-- name: prune
delete from deferred_requests
where (replied_at < now() - %(days)s * interval '1 day'
       or created_at < now() - 2 * %(days)s * interval '1 day')
  and batch_id is null
