-- name: versions
select row_number() over (order by s.id)::integer as number, s.id, s.recipe ->> 'engine' as engine,
    s.recipe ->> 'model' as model, s.finished_at, c.result_id is not null as current, c.pinned_by
from stage_results s
left join current_results c on c.org_id = s.org_id and c.recording_id = s.recording_id
    and c.stage = s.stage and c.result_id = s.id
where s.org_id = %(org_id)s and s.recording_id = %(recording_id)s
  and s.stage = 'transcript' and s.state = 'done'
order by s.id

-- name: name_speaker
insert into speaker_names (org_id, recording_id, label, name)
values (%(org_id)s, %(recording_id)s, %(label)s, %(name)s)
on conflict (org_id, recording_id, label) do update set name = excluded.name

-- name: speaker_names
select label, name from speaker_names
where org_id = %(org_id)s and recording_id = %(recording_id)s
order by label
