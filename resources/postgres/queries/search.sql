-- name: search
with narrowed as materialized (
    select row(%(kinds)s::text[], %(recordings)s::uuid[], %(speakers)s::text[],
        %(languages)s::text[], %(source)s::text, %(since)s::timestamptz, %(until)s::timestamptz,
        %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter as by
), by_words as (
    select chunk_id as id, rank() over (order by rank desc) as place  -- the same words, the same place
    from narrowed, matching(%(set_id)s, %(query)s, narrowed.by, %(depth)s)
), by_meaning as (
    select chunk_id as id, rank() over (order by distance) as place
    from narrowed, nearest(%(set_id)s, %(vector)s, narrowed.by, %(depth)s)
), fused as (
    -- Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009; 60 is their constant.
    select id, sum(1.0 / (60 + place)) as score, array_agg(leg order by leg) as matched
    from (select id, place, 'words' as leg from by_words
          union all
          select id, place, 'meaning' from by_meaning) as legs
    group by id
)
select c.recording_id::text as recording, r.title, r.suffix, c.id::text as chunk, c.text,
    c.char_start, c.phrases, c.start_seconds, c.end_seconds, c.source,
    coalesce(n.name, c.speaker) as speaker, f.score::double precision as score, f.matched
from fused f
join chunks c on c.org_id = %(org_id)s and c.id = f.id
join recordings r on r.org_id = c.org_id and r.id = c.recording_id
left join speaker_names n
    on n.org_id = c.org_id and n.recording_id = c.recording_id and n.label = c.speaker
order by f.score desc, c.source desc, c.id  -- of equals what was said, then what was written
limit %(limit)s

-- name: nearest
select c.recording_id::text as recording, c.start_seconds, c.end_seconds, n.distance
from nearest(%(set_id)s, %(vector)s, row(%(kinds)s::text[], %(recordings)s::uuid[],
    %(speakers)s::text[], %(languages)s::text[], %(source)s::text, %(since)s::timestamptz,
    %(until)s::timestamptz, %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter,
    %(depth)s) n
join chunks c on c.org_id = %(org_id)s and c.id = n.chunk_id
order by n.distance, c.id

-- name: nearest_exactly
with narrowed as materialized (
    select settled(%(org_id)s, row(%(kinds)s::text[], %(recordings)s::uuid[],
        %(speakers)s::text[], %(languages)s::text[], %(source)s::text, %(since)s::timestamptz,
        %(until)s::timestamptz, %(from_seconds)s::float8, %(to_seconds)s::float8)::search_filter)
        as by
)
select c.recording_id::text as recording, c.start_seconds, c.end_seconds,
    e.vector <=> %(vector)s as distance
from narrowed, admitted(%(org_id)s, narrowed.by) c
join embeddings e on e.org_id = c.org_id and e.chunk_id = c.id and e.set_id = %(set_id)s
order by distance, c.id
limit %(depth)s

-- name: known_items
select c.org_id, c.recording_id::text as recording, c.start_seconds, c.end_seconds, c.text
from embeddings e
join chunks c on c.org_id = e.org_id and c.id = e.chunk_id
where e.set_id = %(set_id)s and c.start_seconds is not null
order by c.text_hash, c.id
limit %(limit)s

-- name: sizes
select org_id, count(*) as vectors from embeddings where set_id = %(set_id)s
group by org_id order by org_id

-- name: some_vectors
-- From a place that the ids' own chance chooses, and round the end.
(select vector from embeddings
 where set_id = %(set_id)s and org_id = %(org_id)s and chunk_id >= %(start)s
 order by chunk_id limit %(limit)s)
union all
(select vector from embeddings
 where set_id = %(set_id)s and org_id = %(org_id)s and chunk_id < %(start)s
 order by chunk_id limit %(limit)s)
limit %(limit)s

-- name: half_came_after
select percentile_disc(0.5) within group (order by created_at) as moment
from recordings where org_id = %(org_id)s
