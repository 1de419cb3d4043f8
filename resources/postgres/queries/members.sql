-- name: organisations
select o.id, o.created_at, count(distinct r.id) as recordings, count(distinct m.name) as members
from organisations o
left join recordings r on r.org_id = o.id
left join members m on m.org_id = o.id
group by o.id, o.created_at order by o.id

-- name: add_organisation
insert into organisations (id) values (%(org_id)s) on conflict do nothing

-- name: members
select name, role, created_at from members where org_id = %(org_id)s order by name

-- name: add
insert into members (org_id, name, role) values (%(org_id)s, %(name)s, %(role)s)
on conflict do nothing

-- name: owners
select name from members where org_id = %(org_id)s and role = 'owner' order by name for update

-- name: change
update members set role = %(role)s where org_id = %(org_id)s and name = %(name)s

-- name: remove
delete from members where org_id = %(org_id)s and name = %(name)s
