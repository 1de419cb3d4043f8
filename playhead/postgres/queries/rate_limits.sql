-- name: take_turn
select * from take_turn(%(org_id)s, %(provider)s, %(requests)s, %(tokens)s, %(wanted)s,
    %(patience)s)

-- name: hold
-- Emptied, so that not all of them come at once when the pause is over.
update provider_pace
set filled_at = greatest(filled_at, clock_timestamp() + %(seconds)s * interval '1 second'),
    requests = least(requests, 0), tokens = least(tokens, 0)
where org_id = %(org_id)s and provider = %(provider)s
returning filled_at as until

-- name: heed
update provider_pace p
set requests_a_minute = n.requests_a_minute, tokens_a_minute = n.tokens_a_minute,
    requests = least(n.requests_a_minute, %(requests_left)s::double precision,
        p.requests + n.minutes * p.requests_a_minute),
    tokens = least(n.tokens_a_minute, %(tokens_left)s::double precision,
        p.tokens + n.minutes * p.tokens_a_minute),
    filled_at = n.filled_at
from (
    select org_id, provider, greatest(filled_at, clock_timestamp()) as filled_at,
        extract(epoch from greatest(filled_at, clock_timestamp()) - filled_at) / 60 as minutes,
        coalesce(%(requests_a_minute)s, requests_a_minute) as requests_a_minute,
        coalesce(%(tokens_a_minute)s, tokens_a_minute) as tokens_a_minute
    from provider_pace where org_id = %(org_id)s and provider = %(provider)s
    for update
) n
where p.org_id = n.org_id and p.provider = n.provider
