-- name: member
select role from members where org_id = %(org_id)s and name = %(member)s

-- name: create
insert into api_tokens (org_id, member, name, secret_sha256, scopes, expires_at)
values (%(org_id)s, %(member)s, %(name)s, %(secret_sha256)s, %(scopes)s,
    now() + %(days)s * interval '1 day')
returning id, member, name, scopes, created_at, last_used_at, expires_at, revoked_at

-- name: tokens
select id, member, name, scopes, created_at, last_used_at, expires_at, revoked_at
from api_tokens where org_id = %(org_id)s
order by created_at, id

-- name: revoke
update api_tokens set revoked_at = now()
where org_id = %(org_id)s and id = %(id)s and revoked_at is null

-- name: bearer
with found as (
    select t.org_id, t.id, t.member, t.scopes, m.role, t.last_used_at
    from api_tokens t
    join members m on m.org_id = t.org_id and m.name = t.member
    where t.secret_sha256 = %(secret_sha256)s and t.revoked_at is null
      and (t.expires_at is null or t.expires_at > now())
), used as (
    update api_tokens t set last_used_at = now()
    from found f
    where t.org_id = f.org_id and t.id = f.id
      and (f.last_used_at is null or f.last_used_at < now() - interval '1 minute')
)
select org_id, id, member, role, scopes from found
