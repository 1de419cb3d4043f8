-- Who speaks is found by an index, by label and by given name: of 889,000 passages those of a speaker
-- of 0.05 % took 2 s of CPU, since all were read (docs/decisions/0018).

create index chunks_speaker on chunks (org_id, lower(speaker)) where speaker is not null;
create index speaker_names_name on speaker_names (org_id, lower(name));

-- An organisation's passages that a settled filter lets through, whoever speaks.
create function admitted_of_anybody(org text, narrowed search_filter) returns setof chunks
language sql stable as $$
    select c.* from chunks c
    where c.org_id = org
      and (narrowed.recordings is null or c.recording_id = any(narrowed.recordings))
      and (narrowed.source is null or c.source = narrowed.source)
      and (narrowed.from_seconds is null or c.end_seconds > narrowed.from_seconds)
      and (narrowed.to_seconds is null or c.start_seconds < narrowed.to_seconds)
      and (narrowed.kinds is null and narrowed.since is null and narrowed.until is null
          or c.recording_id in (
              select r.id from recordings r
              where r.org_id = org
                and (narrowed.kinds is null or r.kind = any(narrowed.kinds))
                and (narrowed.since is null or r.created_at >= narrowed.since)
                and (narrowed.until is null or r.created_at < narrowed.until)))
      and (narrowed.languages is null
          or c.search_config = any(array(
              select search_config(language) from unnest(narrowed.languages) as language))
          -- Languages of which Postgres has no stems share a configuration: the transcript tells.
          and (c.search_config <> 'simple'::regconfig or c.recording_id in (
              select t.recording_id
              from current_results cur
              join transcripts t on t.org_id = cur.org_id and t.result_id = cur.result_id
              where cur.org_id = org and cur.stage = 'transcript'
                and array_prepend(t.language, t.languages) && narrowed.languages)))
$$;

-- Those of whom the filter names: by label, and by given name where the label is not named as well. Two
-- queries, since no index serves "this label or a label of that name".
create or replace function admitted(org text, narrowed search_filter) returns setof chunks
language sql stable as $$
    select c.* from admitted_of_anybody(org, narrowed) c
    where narrowed.speakers is null or lower(c.speaker) = any(narrowed.speakers)
    union all
    select c.* from speaker_names n
    join admitted_of_anybody(org, narrowed) c on c.recording_id = n.recording_id and c.speaker = n.label
    where n.org_id = org and lower(n.name) = any(narrowed.speakers)
      and lower(c.speaker) <> all(narrowed.speakers)
$$;

-- As before, and a filter that names speakers is counted first, too: an index finds their passages.
create or replace function nearest(
    searched integer, question vector, narrowed search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    org text := searching_org();
    few integer := exact_up_to((select dimensions from embedding_sets where id = searched)) / 2;
    passages uuid[];
    distances double precision[];
begin
    if question is null then
        return;
    end if;
    narrowed := settled(org, narrowed);
    if narrowed.recordings is not null or narrowed.speakers is not null then
        passages := array(select c.id from admitted(org, narrowed) c limit few + 1);
    end if;
    if cardinality(passages) <= few then
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e
        where e.set_id = searched and e.org_id = org and e.chunk_id = any(passages)
        order by near, e.chunk_id limit depth;
        return;
    end if;
    if has_vector_index(searched, org) then
        select array_agg(n.chunk_id), array_agg(n.distance) into passages, distances
        from nearest_by_index(searched, org, question, narrowed, depth) n;
        if cardinality(passages) = depth then
            return query select * from unnest(passages, distances);
            return;
        end if;
    end if;
    if narrowed is null then
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e where e.set_id = searched and e.org_id = org
        order by near, e.chunk_id limit depth;
    else
        return query select e.chunk_id, e.vector <=> question as near
        from admitted(org, narrowed) c
        join embeddings e on e.org_id = org and e.chunk_id = c.id and e.set_id = searched
        order by near, e.chunk_id limit depth;
    end if;
end $$;
