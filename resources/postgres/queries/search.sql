-- name: active_set
select id, engine, dimensions from embedding_sets where active

-- name: search
with searchable as (
    select c.id, c.words, c.search_config
    from chunks c
    join embedded_recordings e
      on e.org_id = c.org_id and e.recording_id = c.recording_id
     and e.chunk_recipe_hash = c.recipe_hash and e.set_id = %(set_id)s
    join recordings r on r.org_id = c.org_id and r.id = c.recording_id
    where c.org_id = %(org_id)s
      and (%(kind)s::text is null or r.kind = %(kind)s)
      and (%(recording_id)s::uuid is null or r.id = %(recording_id)s)
), queries as (
    select config, any_word(config, %(query)s) as query
    from (select distinct search_config as config from searchable) as configs
), by_words as (
    select s.id, row_number() over (order by ts_rank_cd(s.words, q.query) desc, s.id) as place
    from searchable s
    join queries q on q.config = s.search_config and s.words @@ q.query
    order by place
    limit %(depth)s
), by_meaning as (
    select s.id, row_number() over (order by e.vector <=> %(vector)s, s.id) as place
    from searchable s
    join embeddings e
      on e.set_id = %(set_id)s and e.org_id = %(org_id)s and e.chunk_id = s.id
    where %(vector)s::vector is not null
    order by place
    limit %(depth)s
), fused as (
    -- Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009; 60 is their constant.
    select id, sum(1.0 / (60 + place)) as score, array_agg(leg order by leg) as matched
    from (select id, place, 'words' as leg from by_words
          union all
          select id, place, 'meaning' from by_meaning) as legs
    group by id
)
select c.recording_id::text as recording, r.title, r.suffix, c.id::text as chunk, c.text,
    c.char_start, c.phrases, c.start_seconds, c.end_seconds, c.speaker, c.source,
    f.score::double precision as score, f.matched
from fused f
join chunks c on c.org_id = %(org_id)s and c.id = f.id
join recordings r on r.org_id = c.org_id and r.id = c.recording_id
order by f.score desc, c.id
limit %(limit)s
