-- name: search
with filter as materialized (
    select row(%(kinds)s::text[], %(recordings)s::uuid[], %(speakers)s::text[],
        %(languages)s::text[], %(source)s::text, %(since)s::timestamptz, %(until)s::timestamptz,
        %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter as by
), by_words as (  -- the same words, the same place
    select chunk_id as id, rank() over (order by rank desc) as place,
        rank / nullif(max(rank) over (), 0) as share
    from filter, search_text(%(set_id)s, %(query)s, filter.by, %(depth)s)
), by_meaning as (
    select chunk_id as id, rank() over (order by distance) as place, 1 - distance as cosine
    from filter, nearest(%(set_id)s, %(vector)s, filter.by, %(depth)s)
), fused as (
    -- By how near and how well matched, not by place: a convex combination, as Bruch, Gai and Ingber
    -- have it (ACM TOIS 42, 2023). Each is a share of the best, so that no model's measure counts for
    -- more; 0.3 and the square were chosen by half of the labelled questions (docs/retrieval.md).
    select coalesce(w.id, m.id) as id, m.cosine,
        coalesce(m.cosine, 1 - (e.vector <=> %(vector)s::vector), 0)
            / greatest(max(m.cosine) over (), 0.1)
            + 0.3 * power(coalesce(w.share, 0), 2) as score,
        jsonb_strip_nulls(jsonb_build_object('text', w.place, 'vector', m.place)) as matched
    from by_words w
    full join by_meaning m on m.id = w.id
    left join embeddings e on m.id is null and e.set_id = %(set_id)s and e.org_id = %(org_id)s
        and e.chunk_id = w.id
)
select c.recording_id::text as recording, r.title, r.kind, r.created_at as added, r.suffix,
    c.id::text as chunk, c.recipe_hash as recipe, c.is_current, c.source, c.ordinal, c.text,
    c.char_start, c.char_end, c.start_seconds, c.end_seconds, c.phrases,
    coalesce(n.name, c.speaker) as speaker, c.search_config::text as config,
    f.score, f.cosine, f.matched
from fused f
join chunks c on c.org_id = %(org_id)s and c.id = f.id
join recordings r on r.org_id = c.org_id and r.id = c.recording_id
left join speaker_names n
    on n.org_id = c.org_id and n.recording_id = c.recording_id and n.label = c.speaker
order by f.score desc, c.source desc, c.id  -- of equals what was said, then what was written
limit %(limit)s

-- name: matching_words
with questions as materialized (
    select config, any_word(config::regconfig, %(query)s) as query
    from unnest(%(configs)s::text[]) as config
    group by config
)
select config, word
from unnest(%(configs)s::text[], %(words)s::text[]) as w (config, word)
join questions q using (config)
where to_tsvector(config::regconfig, word) @@ q.query

-- name: unknown
select 'recording' as what, asked.value::text
from unnest(%(recordings)s::uuid[]) as asked (value)
where not exists (
    select from recordings r where r.org_id = %(org_id)s and r.id = asked.value)
union all
select 'speaker', asked.value
from unnest(%(speakers)s::text[]) as asked (value)
where not exists (
        select from speaker_names n
        where n.org_id = %(org_id)s and lower(n.name) = lower(asked.value))
  and not exists (
        select from chunks c
        where c.org_id = %(org_id)s and lower(c.speaker) = lower(asked.value))
union all
select 'language', asked.value
from unnest(%(languages)s::text[]) as asked (value)
where not exists (
    select from transcripts t
    where t.org_id = %(org_id)s
      and asked.value = any(array_prepend(t.language, t.languages)))

-- name: nearest
select c.recording_id::text as recording, c.start_seconds, c.end_seconds, n.distance
from nearest(%(set_id)s, %(vector)s, row(%(kinds)s::text[], %(recordings)s::uuid[],
    %(speakers)s::text[], %(languages)s::text[], %(source)s::text, %(since)s::timestamptz,
    %(until)s::timestamptz, %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter,
    %(depth)s) n
join chunks c on c.org_id = %(org_id)s and c.id = n.chunk_id
order by n.distance, c.id

-- name: nearest_exact
with filter as materialized (
    select resolve_filter(%(org_id)s, row(%(kinds)s::text[], %(recordings)s::uuid[],
        %(speakers)s::text[], %(languages)s::text[], %(source)s::text, %(since)s::timestamptz,
        %(until)s::timestamptz, %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter)
        as by
)
select c.recording_id::text as recording, c.start_seconds, c.end_seconds,
    e.vector <=> %(vector)s as distance
from filter, filtered_chunks(%(org_id)s, filter.by) c
join embeddings e on e.org_id = c.org_id and e.chunk_id = c.id and e.set_id = %(set_id)s
order by distance, c.id
limit %(depth)s

-- name: evaluation_samples
select c.org_id, c.recording_id::text as recording, c.start_seconds, c.end_seconds, c.text
from embeddings e
join chunks c on c.org_id = e.org_id and c.id = e.chunk_id
where e.set_id = %(set_id)s and c.start_seconds is not null
order by c.text_hash, c.id
limit %(limit)s

-- name: sizes
select org_id, count(*) as vectors from embeddings where set_id = %(set_id)s
group by org_id order by org_id

-- name: sample_vectors
-- From a place that the ids' own chance chooses, and round the end.
(select vector from embeddings
 where set_id = %(set_id)s and org_id = %(org_id)s and chunk_id >= %(start)s
 order by chunk_id limit %(limit)s)
union all
(select vector from embeddings
 where set_id = %(set_id)s and org_id = %(org_id)s and chunk_id < %(start)s
 order by chunk_id limit %(limit)s)
limit %(limit)s

-- name: newer_half
select percentile_disc(0.5) within group (order by created_at) as moment
from recordings where org_id = %(org_id)s
