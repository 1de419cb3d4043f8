-- name: add
insert into quarantine (org_id, attempt_id, reason, reply)
select org_id, id, %(reason)s, %(reply)s from provider_attempts where id = %(attempt_id)s

-- name: list
select q.id, q.org_id, a.provider, a.model, a.endpoint, a.purpose, q.reason,
    length(q.reply) as bytes, q.kept_at,
    array(select s.recording_id::text from attempt_shares s
          where s.org_id = q.org_id and s.attempt_id = q.attempt_id
          order by s.recording_id) as recordings
from quarantine q
join provider_attempts a on a.org_id = q.org_id and a.id = q.attempt_id
where q.org_id = %(org_id)s
order by q.id

-- name: reply
select reply from quarantine where org_id = %(org_id)s and id = %(id)s

-- name: delete
delete from quarantine where org_id = %(org_id)s and id = %(id)s
