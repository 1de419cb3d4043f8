-- name: search
with recursive configs as (
    -- The languages of the organisation's chunks, by jumping from one to the next in the index.
    (select search_config as config from chunks
     where org_id = %(org_id)s order by search_config limit 1)
    union all
    select (select c.search_config from chunks c
            where c.org_id = %(org_id)s and c.search_config > configs.config
            order by c.search_config limit 1)
    from configs where configs.config is not null
), queries as materialized (
    select config, any_word(config, %(query)s) as query from configs where config is not null
), by_words as (
    select id, rank() over (order by rank desc) as place  -- the same words, the same place
    from queries q
    cross join lateral (
        -- A chunk is searched while it has a vector in the set: so both legs see the same ones.
        -- A subquery for each language, so that the index on words is used.
        select c.id, ts_rank_cd(c.words, q.query) as rank
        from chunks c
        where c.org_id = %(org_id)s and c.search_config = q.config and c.words @@ q.query
          and exists (
              select from embeddings e
              where e.org_id = c.org_id and e.chunk_id = c.id and e.set_id = %(set_id)s)
          and (%(recording_id)s::uuid is null or c.recording_id = %(recording_id)s)
          and (%(kind)s::text is null or exists (
              select from recordings r
              where r.org_id = c.org_id and r.id = c.recording_id and r.kind = %(kind)s))
        order by rank desc, c.id
        limit %(depth)s
    ) as found
    order by place, id
    limit %(depth)s
), near as (
    select chunk_id, distance
    from nearest(%(set_id)s, %(org_id)s, %(vector)s, %(depth)s)
    where %(vector)s::vector is not null
      and %(kind)s::text is null and %(recording_id)s::uuid is null
    union all
    (select e.chunk_id, e.vector <=> %(vector)s as distance
     from recordings r
     join chunks c on c.org_id = r.org_id and c.recording_id = r.id
     join embeddings e on e.org_id = c.org_id and e.chunk_id = c.id and e.set_id = %(set_id)s
     where r.org_id = %(org_id)s and %(vector)s::vector is not null
       and (%(kind)s::text is not null or %(recording_id)s::uuid is not null)
       and (%(kind)s::text is null or r.kind = %(kind)s)
       and (%(recording_id)s::uuid is null or r.id = %(recording_id)s)
     order by distance, e.chunk_id
     limit %(depth)s)
), by_meaning as (
    select chunk_id as id, rank() over (order by distance) as place from near
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
from nearest(%(set_id)s, %(org_id)s, %(vector)s, %(depth)s) n
join chunks c on c.org_id = %(org_id)s and c.id = n.chunk_id
order by n.distance, c.id

-- name: nearest_exactly
select c.recording_id::text as recording, c.start_seconds, c.end_seconds,
    e.vector <=> %(vector)s as distance
from embeddings e
join chunks c on c.org_id = e.org_id and c.id = e.chunk_id
where e.set_id = %(set_id)s and e.org_id = %(org_id)s
order by distance, c.id
limit %(depth)s

-- name: known_items
select c.org_id, c.recording_id::text as recording, c.start_seconds, c.end_seconds, c.text
from embeddings e
join chunks c on c.org_id = e.org_id and c.id = e.chunk_id
where e.set_id = %(set_id)s and c.start_seconds is not null
order by c.text_hash, c.id
limit %(limit)s
