-- name: created
select distinct r.partition_key
from current_results c
join recordings r on r.org_id = c.org_id and r.id = c.recording_id
join stage_results s on s.id = c.result_id and s.state = 'done'
where c.stage = %(stage)s

-- name: results
select distinct on (r.id, c.stage)
    r.partition_key, r.title, c.stage, s.id as result_id, s.output_hash, s.run_id, s.attempt,
    s.inputs, s.recipe
from recordings r
join current_results c on c.org_id = r.org_id and c.recording_id = r.id
join stage_results s on s.id = c.result_id and s.state = 'done'
where r.partition_key = any(%(keys)s) and c.stage = any(%(stages)s)
order by r.id, c.stage, s.id desc
