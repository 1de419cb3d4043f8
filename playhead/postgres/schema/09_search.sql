-- Search functions. They run as the owner, since row-level security allows no index for an operator
-- that might leak (@@): a caller with policies would read every chunk. The organisation is always
-- that of the transaction, never an argument.

-- What may be found; null or empty: anything. Dates are those on which recordings were added;
-- seconds are of the recording, and a chunk matches if it touches them.
create type search_filter as (
    kinds text[],
    recordings uuid[],
    speakers text[],  -- by given name or by label, case-insensitive
    languages text[],  -- ISO 639-1
    source text,
    since timestamptz,
    until timestamptz,  -- exclusive
    from_seconds double precision,
    to_seconds double precision
);

-- Return the transaction's organisation. Raises PH003 if none is set.
create function require_org() returns text language plpgsql stable as $$
begin
    if current_org() is null then
        raise exception 'no organisation is searched' using errcode = 'PH003';
    end if;
    return current_org();
end $$;

-- Return a query that any word of the question matches; ranking rewards chunks with more of them.
create function any_word(config regconfig, question text) returns tsquery
language sql immutable parallel safe as $$
    select replace(plainto_tsquery(config, question)::text, ' & ', ' | ')::tsquery
$$;

-- Normalise a filter for an organisation: null instead of empty, speakers in lower case, and
-- recordings by id if the filter leaves few of them (an index finds their chunks).
create function resolve_filter(org text, filter search_filter) returns search_filter
language plpgsql stable as $$
declare
    few constant integer := 1000;
    named uuid[];
begin
    filter := row(nullif(filter.kinds, '{}'), nullif(filter.recordings, '{}'),
        (select array_agg(lower(speaker)) from unnest(filter.speakers) as speaker),
        nullif(filter.languages, '{}'), filter.source, filter.since, filter.until,
        filter.from_seconds, filter.to_seconds)::search_filter;
    if filter.kinds is null and filter.since is null and filter.until is null then
        return filter;
    end if;
    named := array(
        select r.id from recordings r
        where r.org_id = org
          and (filter.recordings is null or r.id = any(filter.recordings))
          and (filter.kinds is null or r.kind = any(filter.kinds))
          and (filter.since is null or r.created_at >= filter.since)
          and (filter.until is null or r.created_at < filter.until)
        limit few + 1);
    if cardinality(named) <= few then
        filter.recordings := named;  -- none of them: nothing is let through
        filter.kinds := null;
        filter.since := null;
        filter.until := null;
    end if;
    return filter;
end $$;

-- Return chunks that a resolved filter matches, regardless of the speaker.
create function filtered_chunks_of_all_speakers(org text, filter search_filter) returns setof chunks
language sql stable as $$
    select c.* from chunks c
    where c.org_id = org
      and (filter.recordings is null or c.recording_id = any(filter.recordings))
      and (filter.source is null or c.source = filter.source)
      and (filter.from_seconds is null or c.end_seconds > filter.from_seconds)
      and (filter.to_seconds is null or c.start_seconds < filter.to_seconds)
      and (filter.kinds is null and filter.since is null and filter.until is null
          or c.recording_id in (
              select r.id from recordings r
              where r.org_id = org
                and (filter.kinds is null or r.kind = any(filter.kinds))
                and (filter.since is null or r.created_at >= filter.since)
                and (filter.until is null or r.created_at < filter.until)))
      and (filter.languages is null
          or c.search_config = any(array(
              select search_config(language) from unnest(filter.languages) as language))
          -- Languages of which Postgres has no stems share a configuration: the transcript tells.
          and (c.search_config <> 'simple'::regconfig or c.recording_id in (
              select t.recording_id
              from current_results cur
              join transcripts t on t.org_id = cur.org_id and t.result_id = cur.result_id
              where cur.org_id = org and cur.stage = 'transcript'
                and array_prepend(t.language, t.languages) && filter.languages)))
$$;

-- Return chunks that a resolved filter matches. Inlined into the query that calls it. Speakers match
-- by label, or by given name if the label does not match as well: two queries, since no index serves
-- "this label or a label of that name".
create function filtered_chunks(org text, filter search_filter) returns setof chunks
language sql stable as $$
    select c.* from filtered_chunks_of_all_speakers(org, filter) c
    where filter.speakers is null or lower(c.speaker) = any(filter.speakers)
    union all
    select c.* from speaker_names n
    join filtered_chunks_of_all_speakers(org, filter) c on c.recording_id = n.recording_id and c.speaker = n.label
    where n.org_id = org and lower(n.name) = any(filter.speakers)
      and lower(c.speaker) <> all(filter.speakers)
$$;

-- Return the chunks of a set with words of the question, best of each language, at most ``depth``.
-- Planned for each filter, organisation and question: a generic plan would read everything.
create function search_text(searched integer, question text, filter search_filter, depth integer)
returns table (chunk_id uuid, rank double precision)
language plpgsql stable security definer
set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    org text := require_org();
    config regconfig;
    query tsquery;
begin
    filter := resolve_filter(org, filter);
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
        from filtered_chunks(org, filter) c
        where c.search_config = config and c.words @@ query
          and exists (
              select from embeddings e
              where e.org_id = org and e.chunk_id = c.id and e.set_id = searched)
        order by 2 desc, c.id
        limit depth;
    end loop;
end $$;

-- Return up to how many vectors are compared by an exact scan; above it, an HNSW index is used.
-- 20,000 of 384 dimensions take about 20 ms; longer vectors allow fewer.
create function max_exact_vectors(dimensions integer) returns integer language sql immutable as $$
    select least(20000, 20000 * 384 / dimensions)
$$;

-- Return the name of an organisation's vector index in a set.
create function vector_index_name(set_id integer, org text) returns text
language sql immutable strict as $$
    select format('embeddings_set_%s_of_%s', set_id, left(md5(org), 16))
$$;

-- Return true if the organisation has a valid vector index in the set.
create function has_vector_index(set_id integer, org text) returns boolean
language sql stable as $$
    select exists (select from pg_index i
                   where i.indexrelid = to_regclass(vector_index_name(set_id, org)) and i.indisvalid)
$$;

-- Search by the organisation's index: of the 2,000 nearest the first that match the filter, ten more
-- than requested, by half-precision vectors, reordered by full vectors. Returns fewer if few match
-- near the question; looking further costs more than an exact scan. The settings are this function's
-- alone; sorting is disabled because the planner cannot estimate what an index scan saves.
create function nearest_by_index(
    searched integer, org text, question vector, filter search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql
set hnsw.ef_search = 400
set hnsw.iterative_scan = relaxed_order
set hnsw.max_scan_tuples = 1000000
set hnsw.scan_mem_multiplier = 16
set enable_sort = off
as $$
declare
    floats integer;
begin
    select dimensions into floats from embedding_sets where id = searched;
    return query execute format(
        'select found.chunk_id, found.vector <=> $1 as near from ('
        '    select near.chunk_id, near.vector from ('
        '        select e.chunk_id, e.vector from embeddings_set_%1$s e where e.org_id = %3$L '
        '        order by e.vector::halfvec(%2$s) <=> $1::halfvec(%2$s) limit greatest(2000, $2 + 10)'
        '    ) near %4$s limit $2 + 10'
        ') found order by near, found.chunk_id limit $2',
        searched, floats, org, case when not (filter is null) then
            'where exists (select from filtered_chunks($3, $4) c where c.id = near.chunk_id offset 0)' end)
    using question, depth, org, filter;
end $$;

-- Return the chunks of a set with the nearest vectors, exactly ``depth`` if there are as many.
-- A filter by recordings or speakers is counted first: if it leaves few chunks, these are compared.
-- Otherwise the organisation's index is used, if there is one; without one, or if it returns too
-- few, all chunks that match the filter are compared (docs/decisions/0018).
create function nearest(
    searched integer, question vector, filter search_filter, depth integer
) returns table (chunk_id uuid, distance double precision) language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    org text := require_org();
    few integer := max_exact_vectors((select dimensions from embedding_sets where id = searched)) / 2;
    passages uuid[];
    distances double precision[];
begin
    if question is null then
        return;
    end if;
    filter := resolve_filter(org, filter);
    if filter.recordings is not null or filter.speakers is not null then
        passages := array(select c.id from filtered_chunks(org, filter) c limit few + 1);
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
        from nearest_by_index(searched, org, question, filter, depth) n;
        if cardinality(passages) = depth then
            return query select * from unnest(passages, distances);
            return;
        end if;
    end if;
    if filter is null then
        return query select e.chunk_id, e.vector <=> question as near
        from embeddings e where e.set_id = searched and e.org_id = org
        order by near, e.chunk_id limit depth;
    else
        return query select e.chunk_id, e.vector <=> question as near
        from filtered_chunks(org, filter) c
        join embeddings e on e.org_id = org and e.chunk_id = c.id and e.set_id = searched
        order by near, e.chunk_id limit depth;
    end if;
end $$;
