-- name: reserve
select * from reserve_attempt(%(org_id)s, %(provider)s, %(call_id)s, %(model)s, %(endpoint)s,
    %(purpose)s, %(max_usd)s::double precision::numeric,
    %(budget_usd)s::double precision::numeric, %(expires_after)s,
    %(recordings)s::uuid[], %(shares)s::double precision[])

-- name: settle
with settled as (
    update provider_attempts
    set state = %(state)s, cost_usd = %(cost_usd)s::double precision::numeric,
        input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s,
        audio_seconds = %(audio_seconds)s, http_status = %(http_status)s,
        error_class = %(error_class)s, finished_at = clock_timestamp()
    where id = %(id)s and state = 'reserved'
    returning org_id, day, cost_usd
)
insert into spent_days (org_id, day, spent_usd)
select org_id, day, cost_usd from settled where cost_usd > 0
on conflict (org_id, day) do update
set spent_usd = spent_days.spent_usd + excluded.spent_usd

-- name: spent_by
select case %(by)s
        when 'day' then to_char(day, 'YYYY-MM-DD')
        when 'model' then provider || ' ' || model
        when 'stage' then purpose
        when 'organisation' then org_id
    end as what,
    count(*) as attempts,
    count(*) filter (
        where state = 'failed' or state = 'reserved' and expires_at < now()) as failed,
    sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
    sum(audio_seconds) as audio_seconds, sum(cost_usd)::double precision as cost_usd
from provider_attempts
where (%(org_id)s::text is null or org_id = %(org_id)s)
  and (%(since)s::timestamptz is null or started_at >= %(since)s)
group by what order by what

-- name: spent_by_recording
select coalesce(s.recording_id::text, '') as what,
    count(*) as attempts,
    count(*) filter (
        where a.state = 'failed' or a.state = 'reserved' and a.expires_at < now()) as failed,
    round(sum(a.input_tokens * coalesce(s.share, 1)))::bigint as input_tokens,
    round(sum(a.output_tokens * coalesce(s.share, 1)))::bigint as output_tokens,
    sum(a.audio_seconds * coalesce(s.share, 1)) as audio_seconds,
    sum(a.cost_usd::double precision * coalesce(s.share, 1)) as cost_usd
from provider_attempts a
left join (
    select org_id, attempt_id, recording_id, share from attempt_shares
    union all
    select org_id, attempt_id, null, 1 - sum(share) from attempt_shares
    group by org_id, attempt_id having sum(share) < 0.999999
) s on s.org_id = a.org_id and s.attempt_id = a.id
where (%(org_id)s::text is null or a.org_id = %(org_id)s)
  and (%(since)s::timestamptz is null or a.started_at >= %(since)s)
group by s.recording_id order by what

-- name: spent_today
select coalesce((
        select spent_usd from spent_days
        where org_id = %(org_id)s and day = (now() at time zone 'utc')::date
    ), 0)::double precision as spent_usd
