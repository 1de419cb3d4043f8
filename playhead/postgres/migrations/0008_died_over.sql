-- Results are claimed together only while few workers died over them: from then on each is made
-- alone, so that the one that kills its workers is found out and takes no others with it.

drop function claim_result(text, uuid, text, jsonb, text, jsonb, text, text, text);

-- The row of a result: done, running with its lock in this session's hands, or held. Held is what
-- another worker is at, and what workers left as they died ``deaths`` times; null: however often.
create function claim_result(
    org text, recording uuid, of_stage text, made_from jsonb, made_from_hash text, by_recipe jsonb,
    by_recipe_hash text, by_run text, doing text, deaths integer
) returns stage_results language plpgsql as $$
declare
    found_row stage_results;
    begun stage_results;
begin
    select * into found_row from stage_results
    where org_id = org and recording_id = recording and stage = of_stage
      and input_hash = made_from_hash and recipe_hash = by_recipe_hash;
    if not found then
        insert into stage_results
            (org_id, recording_id, stage, inputs, input_hash, recipe, recipe_hash)
        values (org, recording, of_stage, made_from, made_from_hash, by_recipe, by_recipe_hash)
        on conflict (org_id, recording_id, stage, input_hash, recipe_hash)
            do update set stage = excluded.stage  -- so that the other worker's row comes back
        returning * into found_row;
    end if;
    if found_row.state = 'done' then
        return found_row;
    end if;
    if found_row.state = 'running' and found_row.attempt >= deaths
        or not pg_try_advisory_lock(playhead_lock_class(), found_row.id)
    then
        found_row.state := 'held';
        return found_row;
    end if;
    update stage_results
    set state = 'running', attempt = attempt + 1, run_id = by_run, started_at = now(),
        finished_at = null, percent = 0, detail = doing, error = null
    where id = found_row.id and state <> 'done'
    returning * into begun;
    if begun.id is null then  -- finished a moment ago
        perform pg_advisory_unlock(playhead_lock_class(), found_row.id);
        select * into begun from stage_results where id = found_row.id;
    end if;
    return begun;
end $$;
