-- name: get
select transcript from transcript_pieces
where org_id = %(org_id)s and recording_id = %(recording_id)s and engine_hash = %(engine_hash)s
  and language = %(language)s and sound_sha256 = %(sound)s

-- name: put
insert into transcript_pieces (org_id, recording_id, engine_hash, language, sound_sha256, transcript)
values (%(org_id)s, %(recording_id)s, %(engine_hash)s, %(language)s, %(sound)s, %(transcript)s)
on conflict do nothing

-- name: delete
delete from transcript_pieces where org_id = %(org_id)s and recording_id = %(recording_id)s
