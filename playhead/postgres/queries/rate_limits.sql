-- name: acquire
select * from acquire_rate_limit(%(org_id)s, %(provider)s, %(requests)s, %(tokens)s, %(wanted)s,
    %(patience)s)

-- name: pause
-- Emptied, so that not all of them come at once when the pause is over.
update provider_rate_limits
set filled_at = greatest(filled_at, clock_timestamp() + %(seconds)s * interval '1 second'),
    requests = least(requests, 0), tokens = least(tokens, 0)
where org_id = %(org_id)s and provider = %(provider)s
returning filled_at as until

-- name: update_limits
update provider_rate_limits p
set requests_per_minute = n.requests_per_minute, tokens_per_minute = n.tokens_per_minute,
    requests = least(n.requests_per_minute, %(requests_left)s::double precision,
        p.requests + n.minutes * p.requests_per_minute),
    tokens = least(n.tokens_per_minute, %(tokens_left)s::double precision,
        p.tokens + n.minutes * p.tokens_per_minute),
    filled_at = n.filled_at
from (
    select org_id, provider, greatest(filled_at, clock_timestamp()) as filled_at,
        extract(epoch from greatest(filled_at, clock_timestamp()) - filled_at) / 60 as minutes,
        coalesce(%(requests_per_minute)s, requests_per_minute) as requests_per_minute,
        coalesce(%(tokens_per_minute)s, tokens_per_minute) as tokens_per_minute
    from provider_rate_limits where org_id = %(org_id)s and provider = %(provider)s
    for update
) n
where p.org_id = n.org_id and p.provider = n.provider
