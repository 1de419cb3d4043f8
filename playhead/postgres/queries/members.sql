-- name: organisations
select o.id, o.created_at,
    (select count(*) from recordings r where r.org_id = o.id) as recordings,
    (select count(*) from members m where m.org_id = o.id) as members
from organisations o
order by o.id

-- name: organisation
select from organisations where id = %(org_id)s

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
