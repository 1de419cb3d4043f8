-- name: create
-- None in an organisation that never had a recording: there it is not known.
insert into conversations (org_id) select id from organisations where id = current_org()
returning id::text as id

-- name: conversation
select id::text as id from conversations
where org_id = current_org() and id::text = %(conversation)s

-- name: summaries
select c.id::text as id, c.begun_at, t.question, t.found, (
    select count(*) from turns n where n.org_id = c.org_id and n.conversation_id = c.id) as turns
from conversations c
join turns t on t.org_id = c.org_id and t.conversation_id = c.id and t.ordinal = 1
where c.org_id = current_org()
order by c.begun_at desc, c.id
limit %(limit)s

-- name: lock
-- Two turns at once come one after the other.
select pg_advisory_xact_lock(hashtext(%(conversation)s))

-- name: put_turn
insert into turns (org_id, conversation_id, ordinal, question, found, note, engine)
select current_org(), %(conversation)s::uuid, 1 + coalesce(max(t.ordinal), 0), %(question)s,
    %(found)s, %(note)s, %(engine)s
from turns t
where t.org_id = current_org() and t.conversation_id = %(conversation)s::uuid
returning ordinal

-- name: put_sentences
insert into answer_sentences (org_id, conversation_id, turn, ordinal, text, cites)
select current_org(), %(conversation)s::uuid, %(turn)s, s.ordinal, s.text, s.cites
from jsonb_to_recordset(%(sentences)s) as s (ordinal integer, text text, cites integer[])

-- name: put_citations
insert into citations (org_id, conversation_id, turn, number, recording_id, chunk_id, quote,
    start_seconds, end_seconds)
select current_org(), %(conversation)s::uuid, %(turn)s, c.number, c.recording, c.chunk, c.quote,
    c.start_seconds, c.end_seconds
from jsonb_to_recordset(%(citations)s) as c (number integer, recording uuid, chunk uuid,
    quote text, start_seconds double precision, end_seconds double precision)

-- name: turns
select t.ordinal, t.question, t.found, t.note, t.asked_at, t.engine,
    coalesce((
        select jsonb_agg(jsonb_build_object('text', s.text, 'cites', s.cites) order by s.ordinal)
        from answer_sentences s
        where s.org_id = t.org_id and s.conversation_id = t.conversation_id
          and s.turn = t.ordinal), '[]') as sentences,
    coalesce((
        select jsonb_agg(jsonb_build_object('number', c.number, 'recording', c.recording_id,
            'chunk', c.chunk_id, 'title', r.title, 'suffix', r.suffix, 'quote', c.quote,
            'start_seconds', c.start_seconds, 'end_seconds', c.end_seconds) order by c.number)
        from citations c
        left join recordings r on r.org_id = c.org_id and r.id = c.recording_id
        where c.org_id = t.org_id and c.conversation_id = t.conversation_id
          and c.turn = t.ordinal), '[]') as citations
from turns t
where t.org_id = current_org() and t.conversation_id = %(conversation)s::uuid
order by t.ordinal
