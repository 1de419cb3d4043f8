-- name: excerpts
select c.id::text as chunk, c.recording_id::text as recording, r.title, r.suffix, c.text,
    c.char_start, c.phrases, c.start_seconds, c.end_seconds, coalesce(n.name, c.speaker) as speaker,
    c.search_config::text as stems
from unnest(%(chunks)s::uuid[]) with ordinality as requested (id, place)
join chunks c on c.org_id = current_org() and c.id = requested.id
join recordings r on r.org_id = c.org_id and r.id = c.recording_id
left join speaker_names n
    on n.org_id = c.org_id and n.recording_id = c.recording_id and n.label = c.speaker
order by requested.place

-- name: terms
select array(select lexeme from unnest(to_tsvector(%(stems)s::regconfig, told.text))) as terms
from unnest(%(texts)s::text[]) with ordinality as told (text, place)
order by told.place
