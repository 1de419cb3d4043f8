-- Search narrowed by what is known of a passage, and its leg by words as a function of the owner (the
-- other is 0019's): under row-level security Postgres uses no index for an operator that might leak (@@), so whoever searches
-- would read every passage. The organisation is the transaction's, never an argument.

-- What may be found; null or empty: anything. Dates are those on which recordings came; seconds are
-- of the recording, and a passage counts that touches them.
create type search_filter as (
    kinds text[],
    recordings uuid[],
    speakers text[],  -- by given name or by label, in any case of letters
    languages text[],  -- ISO 639-1
    source text,
    since timestamptz,
    until timestamptz,  -- itself not
    from_seconds double precision,
    to_seconds double precision
);

-- The transaction's organisation; raises where it named none.
create function searching_org() returns text language plpgsql stable as $$
begin
    if current_org() is null then
        raise exception 'no organisation is searched' using errcode = 'PH003';
    end if;
    return current_org();
end $$;

-- The same filter for this organisation: null for what is empty, speakers in small letters, and
-- recordings by their ids where what is asked of them leaves few (an index finds their passages).
create function settled(org text, narrowed search_filter) returns search_filter
language plpgsql stable as $$
declare
    few constant integer := 1000;
    named uuid[];
begin
    narrowed := row(nullif(narrowed.kinds, '{}'), nullif(narrowed.recordings, '{}'),
        (select array_agg(lower(speaker)) from unnest(narrowed.speakers) as speaker),
        nullif(narrowed.languages, '{}'), narrowed.source, narrowed.since, narrowed.until,
        narrowed.from_seconds, narrowed.to_seconds)::search_filter;
    if narrowed.kinds is null and narrowed.since is null and narrowed.until is null then
        return narrowed;
    end if;
    named := array(
        select r.id from recordings r
        where r.org_id = org
          and (narrowed.recordings is null or r.id = any(narrowed.recordings))
          and (narrowed.kinds is null or r.kind = any(narrowed.kinds))
          and (narrowed.since is null or r.created_at >= narrowed.since)
          and (narrowed.until is null or r.created_at < narrowed.until)
        limit few + 1);
    if cardinality(named) <= few then
        narrowed.recordings := named;  -- none of them: nothing is let through
        narrowed.kinds := null;
        narrowed.since := null;
        narrowed.until := null;
    end if;
    return narrowed;
end $$;

-- An organisation's passages that a settled filter lets through: part of the query that asks, with no
-- more conditions than the filter has.
create function admitted(org text, narrowed search_filter) returns setof chunks
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
      and (narrowed.speakers is null or lower(c.speaker) = any(narrowed.speakers)
          or (c.recording_id, c.speaker) in (
              select n.recording_id, n.label from speaker_names n
              where n.org_id = org and lower(n.name) = any(narrowed.speakers)))
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

-- The passages of a set that have words of the question, with how well they match: the best of each
-- language that is spoken, at most ``depth``. Plans are made for each filter, organisation and
-- question: one for all would read everything, for no statistics tell what any question is like.
create function matching(searched integer, question text, narrowed search_filter, depth integer)
returns table (chunk_id uuid, rank double precision)
language plpgsql stable security definer
set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    org text := searching_org();
    config regconfig;
    query tsquery;
begin
    narrowed := settled(org, narrowed);
    loop  -- by jumping from one language to the next in the index
        config := (
            select c.search_config from chunks c
            where c.org_id = org and (config is null or c.search_config > config)
            order by c.search_config limit 1);
        exit when config is null;
        query := any_word(config, question);
        return query
        -- A chunk is searched while it has a vector in the set: so both legs see the same ones.
        select c.id, ts_rank(c.words, query)::double precision as rank
        from admitted(org, narrowed) c
        where c.search_config = config and c.words @@ query
          and exists (
              select from embeddings e
              where e.org_id = org and e.chunk_id = c.id and e.set_id = searched)
        order by 2 desc, c.id
        limit depth;
    end loop;
end $$;

-- Whoever may name an organisation, and nobody else.
revoke execute on function matching from public;
grant execute on function matching to playhead_app;
