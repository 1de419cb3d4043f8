-- name: open
insert into circuit_breakers (org_id, provider, reason, remedy)
values (%(org_id)s, %(provider)s, %(reason)s, %(remedy)s)
on conflict do nothing

-- name: list_open
select org_id, provider, reason, remedy, opened_at from circuit_breakers
where %(org_id)s::text is null or org_id = %(org_id)s
order by org_id, provider

-- name: close
delete from circuit_breakers where org_id = %(org_id)s and provider = %(provider)s

-- name: clear_pause
update provider_rate_limits set filled_at = least(filled_at, clock_timestamp())
where org_id = %(org_id)s and provider = %(provider)s

-- name: unpark
delete from parked_recordings where org_id = %(org_id)s
