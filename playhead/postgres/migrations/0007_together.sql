-- Chunks and vectors of many recordings in one transaction, and in time that does not grow with the
-- tables.

-- Phrases are rows without names, [char_start, char_end, start_seconds, end_seconds]: names were
-- most of what is sent and parsed, and nobody read the speaker.
update chunks set phrases = (
    select coalesce(jsonb_agg(jsonb_build_array(
        p -> 'char_start', p -> 'char_end', p -> 'start_seconds', p -> 'end_seconds')
        order by place), '[]')
    from jsonb_array_elements(phrases) with ordinality as phrase (p, place));

-- Give every chunk of a recipe its cached vector: from now on exactly these are searched in the
-- set, and chunks that no set searches any more go. Gives what is wrong, if something is.
-- Scalar subqueries and arrays of ids, for those the planner looks up one by one whatever it
-- believes of the tables: joins of tables that were just filled it made by reading them whole.
create or replace function put_vectors(
    org text, recording uuid, cut_by text, chunks_result integer, into_set integer, result integer
) returns text language plpgsql as $$
declare
    bare bigint;
    replaced uuid[];
begin
    perform from current_results c
    where c.org_id = org and c.recording_id = recording and c.stage = 'chunks'
      and c.set_id = into_set and c.result_id = chunks_result
    for share;
    if not found then
        return 'cut anew';
    end if;
    insert into embeddings (set_id, org_id, chunk_id, result_id, vector)
    select into_set, org, c.id, result, c.vector
    from (
        select id, (select e.vector from embedding_cache e
                    where e.org_id = org and e.set_id = into_set
                      and e.text_hash = chunks.text_hash) as vector
        from chunks
        where org_id = org and recording_id = recording and recipe_hash = cut_by and wanted
        offset 0
    ) c
    where c.vector is not null
    on conflict (org_id, chunk_id, set_id) do nothing;
    select count(*) into bare from chunks c
    where c.org_id = org and c.recording_id = recording and c.recipe_hash = cut_by and c.wanted
      and (select true from embeddings e
           where e.org_id = org and e.chunk_id = c.id and e.set_id = into_set) is null;
    if bare > 0 then
        return bare || ' chunks have no vector';
    end if;
    insert into embedded_recordings (result_id, org_id, recording_id, set_id, chunk_recipe_hash)
    values (result, org, recording, into_set, cut_by)
    on conflict (org_id, recording_id, set_id) do update
    set result_id = excluded.result_id, chunk_recipe_hash = excluded.chunk_recipe_hash;
    replaced := array(
        select id from chunks
        where org_id = org and recording_id = recording and (not wanted or recipe_hash <> cut_by));
    delete from embeddings
    where set_id = into_set and org_id = org and chunk_id = any(replaced);
    update stage_results s set state = 'superseded'
    where s.org_id = org and s.recording_id = recording and s.stage = 'chunks'
      and s.state = 'done'
      and not exists (select from current_results c where c.org_id = s.org_id
                      and c.recording_id = s.recording_id and c.result_id = s.id);
    delete from chunks c
    where c.id = any(replaced)
      and (not c.wanted or not exists (
          select from current_results cur
          join stage_results s on s.id = cur.result_id
          where cur.org_id = org and cur.recording_id = recording and cur.stage = 'chunks'
            and s.recipe_hash = c.recipe_hash))
      and not exists (select from embeddings e where e.org_id = c.org_id and e.chunk_id = c.id);
    return null;
end $$;
