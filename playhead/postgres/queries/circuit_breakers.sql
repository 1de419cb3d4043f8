-- name: open
insert into provider_breakers (org_id, provider, reason, remedy)
values (%(org_id)s, %(provider)s, %(reason)s, %(remedy)s)
on conflict do nothing

-- name: opened
select org_id, provider, reason, remedy, opened_at from provider_breakers
where %(org_id)s::text is null or org_id = %(org_id)s
order by org_id, provider

-- name: close
delete from provider_breakers where org_id = %(org_id)s and provider = %(provider)s

-- name: unhold
update provider_pace set filled_at = least(filled_at, clock_timestamp())
where org_id = %(org_id)s and provider = %(provider)s

-- name: unpark
delete from parked_recordings where org_id = %(org_id)s
