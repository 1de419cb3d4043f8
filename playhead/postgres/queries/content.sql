-- name: put_raw_media
insert into raw_media (result_id, org_id, recording_id, container, codec, media_type,
    sample_rate, channels, duration_seconds, streams)
values (%(result_id)s, %(org_id)s, %(recording_id)s, %(container)s, %(codec)s, %(media_type)s,
    %(sample_rate)s, %(channels)s, %(duration_seconds)s, %(streams)s)

-- name: raw_media
select container, codec, media_type, sample_rate, channels, duration_seconds, streams
from raw_media
where org_id = %(org_id)s and recording_id = %(recording_id)s and result_id = %(result_id)s

-- name: put_transcript
insert into transcripts (result_id, org_id, recording_id, text, language, duration_seconds,
    words, segments, timing, error_seconds, dropped, timeline, speakers, breaks, languages)
values (%(result_id)s, %(org_id)s, %(recording_id)s, %(text)s, %(language)s,
    %(duration_seconds)s, %(words)s, %(segments)s, %(timing)s, %(error_seconds)s, %(dropped)s,
    %(timeline)b, %(speakers)s, %(breaks)s, %(languages)s)

-- name: transcript
select text, language, duration_seconds, words, segments, timing, error_seconds, dropped
from transcripts
where org_id = %(org_id)s and recording_id = %(recording_id)s and result_id = %(result_id)s

-- name: timed_text
select text, language, duration_seconds, timeline, speakers, breaks, languages
from transcripts
where org_id = %(org_id)s and recording_id = %(recording_id)s and result_id = %(result_id)s

-- name: put_document
insert into documents (result_id, org_id, recording_id, title, content, format, spans, metadata)
values (%(result_id)s, %(org_id)s, %(recording_id)s, %(title)s, %(content)s, %(format)s,
    %(spans)s, %(metadata)s)

-- name: document
select title, content, format, spans, metadata
from documents
where org_id = %(org_id)s and recording_id = %(recording_id)s and result_id = %(result_id)s

-- name: put_chunks
select put_chunks(%(org_ids)s::text[], %(recording_ids)s::uuid[], %(recipe_hashes)s::text[],
    %(result_ids)s::integer[], %(languages)s::text[], %(chunks)b::jsonb[], %(hashes)s::text[])

-- name: chunks
select id, source, text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker,
    token_count, text_hash, result_id
from chunks
where org_id = %(org_id)s and recording_id = %(recording_id)s and recipe_hash = %(recipe_hash)s
  and is_current
order by source desc, ordinal

-- name: chunk_spans
select c.recording_id::text as recording_id, c.source, c.text, c.char_start, c.char_end
from unnest(%(org_ids)s::text[], %(recording_ids)s::uuid[], %(recipe_hashes)s::text[])
    as cut (org_id, recording_id, recipe_hash)
cross join lateral (  -- looked up one by one, as in put_vectors
    select * from chunks k
    where k.org_id = cut.org_id and k.recording_id = cut.recording_id
      and k.recipe_hash = cut.recipe_hash and k.is_current
    offset 0
) c
order by c.recording_id, c.source, c.ordinal

-- name: uncached_texts
select distinct on (c.text_hash) c.text_hash, c.text, c.recording_id::text as recording_id
from unnest(%(ids)s::uuid[], %(recipes)s::text[]) as requested (id, recipe_hash)
join chunks c on c.org_id = %(org_id)s and c.recording_id = requested.id
    and c.recipe_hash = requested.recipe_hash and c.is_current
where (  -- looked up one by one, as in put_vectors
    select true from embedding_cache e
    where e.org_id = c.org_id and e.set_id = %(set_id)s and e.text_hash = c.text_hash) is null
order by c.text_hash

-- name: uncached_of
select hash from unnest(%(text_hashes)s::text[]) as hash
where not exists (
    select from embedding_cache e
    where e.org_id = %(org_id)s and e.set_id = %(set_id)s and e.text_hash = hash)

-- name: cache_vectors
with known as (  -- a late writer's recording may be forgotten, or just being so
    select id from recordings
    where org_id = %(org_id)s and id = any(%(recording_ids)s::uuid[])
    for key share
)
insert into embedding_cache (org_id, set_id, text_hash, vector, recording_id)
select %(org_id)s, %(set_id)s, u.text_hash, u.vector, known.id
from unnest(%(text_hashes)s::text[], %(vectors)b::vector[], %(recording_ids)s::uuid[])
    as u (text_hash, vector, recording_id)
join known on known.id = u.recording_id
join embedding_sets s on s.id = %(set_id)s and s.dimensions = vector_dims(u.vector)
on conflict do nothing

-- name: put_vectors
select recording_id::text as recording_id, fault
from put_vectors(%(org_ids)s::text[], %(recording_ids)s::uuid[], %(recipe_hashes)s::text[],
    %(chunks_results)s::integer[], %(set_id)s, %(result_ids)s::integer[])

-- name: coverage
select w.id::text as recording_id, count(c.id) as chunks, coalesce(sum(c.token_count), 0) as tokens,
    count((  -- looked up one by one, as in put_vectors
           select e.chunk_id from embeddings e where e.set_id = %(set_id)s
           and e.org_id = c.org_id and e.chunk_id = c.id)) as vectors
from unnest(%(org_ids)s::text[], %(recording_ids)s::uuid[], %(recipe_hashes)s::text[])
    as w (org_id, id, recipe_hash)
left join chunks c on c.org_id = w.org_id and c.recording_id = w.id
    and c.recipe_hash = w.recipe_hash and c.is_current
group by w.id

-- name: invalidate_incomplete
with taken as (
    update stage_results s set state = 'superseded'
    from current_results cur
    where cur.result_id = s.id and s.state = 'done' and (
        s.stage = 'raw_media' and not exists (select from raw_media m where m.result_id = s.id)
        or s.stage = 'transcript'
            and not exists (select from transcripts t where t.result_id = s.id)
        or s.stage = 'document' and not exists (select from documents d where d.result_id = s.id)
        or s.stage = 'embeddings' and exists (
            select from embedded_recordings e
            join chunks c on c.org_id = e.org_id and c.recording_id = e.recording_id
                and c.recipe_hash = e.chunk_recipe_hash and c.is_current
            where e.result_id = s.id and not exists (
                select from embeddings v
                where v.set_id = e.set_id and v.org_id = c.org_id and v.chunk_id = c.id)))
    returning s.recording_id, array_position(
        array['raw_media', 'transcript', 'document', 'chunks', 'embeddings'], s.stage) as stage
)
update recordings r set stages_done = least(r.stages_done, t.stage - 1)
from (select recording_id, min(stage) as stage from taken group by recording_id) t
where r.id = t.recording_id
