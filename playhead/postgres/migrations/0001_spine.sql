-- The first schema: recordings, the ledger, what each stage makes, and what is searched.
-- Every row carries org_id, and every key and reference names it, so that row-level
-- security can be laid over these tables without changing one.

create extension if not exists vector;

create table organisations (
    id text primary key check (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz not null default now()
);

create table recordings (
    id uuid primary key,
    org_id text not null references organisations,
    sha256 text not null check (length(sha256) = 64),
    size_bytes bigint not null,
    kind text not null,
    title text not null,
    language text,
    suffix text not null,
    priority smallint not null default 0,
    created_at timestamptz not null default now(),
    requested_at timestamptz,  -- when a run was last asked for, and how often
    requests integer not null default 0,  -- since a stage was last finished
    unique (org_id, id),
    unique (org_id, sha256)
);

-- The ledger: one row per (recording, stage, input, recipe). Found and done means: not again.
-- Workers hold the advisory lock (playhead_lock_class(), id) while they work on a row, so a
-- row that says "running" without its lock belongs to a dead worker.
create table stage_results (
    id integer generated always as identity primary key,
    org_id text not null,
    recording_id uuid not null,
    stage text not null,
    inputs jsonb not null,
    input_hash text not null,
    recipe jsonb not null,
    recipe_hash text not null,
    state text not null default 'waiting'
        check (state in ('waiting', 'running', 'done', 'failed', 'superseded')),
    attempt integer not null default 0,
    run_id text,
    started_at timestamptz,
    finished_at timestamptz,
    output_hash text,
    percent smallint not null default 0 check (percent between 0 and 100),
    detail text not null default '',
    tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    error jsonb,
    unique (org_id, recording_id, stage, input_hash, recipe_hash),
    unique (org_id, recording_id, id),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index stage_results_running on stage_results (recording_id) where state = 'running';

-- What readers see: one result per recording and stage, moved in the transaction that writes it.
create table current_results (
    org_id text not null,
    recording_id uuid not null,
    stage text not null,
    result_id integer not null,
    primary key (org_id, recording_id, stage),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

create table dead_letters (
    id integer generated always as identity primary key,
    org_id text not null,
    recording_id uuid not null,
    result_id integer,  -- none when no stage came to begin
    stage text not null,
    error_class text not null,
    message text not null,
    remedy text not null,
    attempts integer not null,
    run_id text,
    created_at timestamptz not null default now(),
    resolved_at timestamptz,
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade,
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
create unique index dead_letters_open on dead_letters (org_id, recording_id)
    where resolved_at is null;

create table raw_media (
    result_id integer primary key,
    org_id text not null,
    recording_id uuid not null,
    container text not null,
    codec text not null,
    media_type text not null,
    sample_rate integer not null,
    channels integer not null,
    duration_seconds double precision not null,
    streams text[] not null,
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

create table transcripts (
    result_id integer primary key,
    org_id text not null,
    recording_id uuid not null,
    text text not null,
    language text not null,
    duration_seconds double precision not null,
    words jsonb not null,
    segments jsonb not null,
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

create table documents (
    result_id integer primary key,
    org_id text not null,
    recording_id uuid not null,
    title text not null,
    content text not null,
    format text not null,
    spans jsonb not null,
    metadata jsonb not null,
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

-- ISO 639-1 to the full-text configuration that Postgres ships for it.
create function search_config(language text) returns regconfig
language sql immutable parallel safe as $$
    select case language
        when 'ar' then 'arabic' when 'ca' then 'catalan' when 'da' then 'danish'
        when 'de' then 'german' when 'el' then 'greek' when 'en' then 'english'
        when 'es' then 'spanish' when 'et' then 'estonian' when 'eu' then 'basque'
        when 'fi' then 'finnish' when 'fr' then 'french' when 'ga' then 'irish'
        when 'hi' then 'hindi' when 'hu' then 'hungarian' when 'hy' then 'armenian'
        when 'id' then 'indonesian' when 'it' then 'italian' when 'lt' then 'lithuanian'
        when 'ne' then 'nepali' when 'nl' then 'dutch' when 'no' then 'norwegian'
        when 'pt' then 'portuguese' when 'ro' then 'romanian' when 'ru' then 'russian'
        when 'sr' then 'serbian' when 'sv' then 'swedish' when 'ta' then 'tamil'
        when 'tr' then 'turkish' when 'yi' then 'yiddish' else 'simple'
    end::regconfig
$$;

-- A question in words: any of them may match, ranking rewards the passages that have more.
create function any_word(config regconfig, question text) returns tsquery
language sql immutable parallel safe as $$
    select replace(plainto_tsquery(config, question)::text, ' & ', ' | ')::tsquery
$$;

-- A chunk is known by its words, not its place: (text_hash, occurrence) within a recording
-- and recipe. A chunk whose words did not change keeps id, vector and citations.
create table chunks (
    id uuid primary key default gen_random_uuid(),
    org_id text not null,
    recording_id uuid not null,
    recipe_hash text not null,
    result_id integer not null,
    source text not null check (source in ('transcript', 'document')),
    text_hash text not null,
    occurrence integer not null,
    text text not null,
    ordinal integer not null,
    char_start integer not null,
    char_end integer not null,
    start_seconds double precision,
    end_seconds double precision,
    speaker text,
    token_count integer not null,
    phrases jsonb not null,  -- its sentences: [{char_start, char_end, start_seconds, …}]
    search_config regconfig not null,
    words tsvector generated always as (to_tsvector(search_config, text)) stored,
    unique (org_id, id),
    unique (org_id, recording_id, recipe_hash, source, text_hash, occurrence),
    check (char_start < char_end),
    check (start_seconds <= end_seconds),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
create index chunks_words on chunks using gin (words);

-- What is searched is a set: the vectors of one model. One set is active; each has a
-- partition of its own, whose dimensions a constraint holds.
create table embedding_sets (
    id integer generated always as identity primary key,
    engine jsonb not null,
    engine_hash text not null unique,
    dimensions integer not null check (dimensions between 1 and 16000),
    active boolean not null default false,
    created_at timestamptz not null default now()
);
create unique index embedding_sets_one_active on embedding_sets (active) where active;

create table embeddings (
    set_id integer not null references embedding_sets,
    org_id text not null,
    chunk_id uuid not null,
    result_id integer not null,
    vector vector not null,
    primary key (set_id, org_id, chunk_id),
    foreign key (org_id, chunk_id) references chunks (org_id, id) on delete cascade
) partition by list (set_id);

create function create_embedding_set(set_engine jsonb, hash text, set_dimensions integer)
returns integer language plpgsql as $$
declare
    set_id integer;
begin
    perform pg_advisory_xact_lock(hashtext('embedding_sets'));
    select id into set_id from embedding_sets where engine_hash = hash;
    if set_id is null then
        insert into embedding_sets (engine, engine_hash, dimensions, active)
        values (set_engine, hash, set_dimensions, not exists (select from embedding_sets))
        returning id into set_id;
        execute format('create table embeddings_set_%s partition of embeddings '
            '(check (vector_dims(vector) = %s)) for values in (%s)',
            set_id, set_dimensions, set_id);
    end if;
    return set_id;
end $$;

-- One row per recording that is wholly in a set, naming the chunks that are searched there.
create table embedded_recordings (
    result_id integer primary key,
    org_id text not null,
    recording_id uuid not null,
    set_id integer not null references embedding_sets,
    chunk_recipe_hash text not null,
    unique (org_id, recording_id, set_id),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

-- A text is embedded once per model and organisation, also when the worker dies right after.
create table embedding_cache (
    org_id text not null references organisations,
    set_id integer not null references embedding_sets,
    text_hash text not null,
    vector vector not null,
    primary key (org_id, set_id, text_hash)
);

create function playhead_lock_class() returns integer
language sql immutable as $$ select 1886151033 $$;  -- "play" read as a 32-bit number

-- Ledger rows that a living worker holds right now.
create view live_results as
select s.*
from stage_results s
join pg_locks l
  on l.locktype = 'advisory' and l.granted and l.objsubid = 2
 and l.classid = playhead_lock_class()::oid and l.objid = s.id::oid
 and l.database = (select oid from pg_database where datname = current_database())
where s.state = 'running';

-- How far each recording has come: a stage counts when its current result was made from
-- the current result of the stages before it.
create view recording_progress as
select r.org_id, r.id,
    case
        when p.raw_media is null then 0
        when p.transcript is null or p.transcript_of is distinct from p.raw_media then 1
        when p.document is null or p.document_of is distinct from p.transcript then 2
        when p.chunks is null or p.chunks_of_document is distinct from p.document
            or p.chunks_of_transcript is distinct from p.transcript then 3
        when p.embeddings is null or p.embeddings_of is distinct from p.chunks then 4
        else 5
    end as stages_done
from recordings r
left join lateral (
    select
        max(s.output_hash) filter (where s.stage = 'raw_media') as raw_media,
        max(s.output_hash) filter (where s.stage = 'transcript') as transcript,
        max(s.inputs ->> 'raw_media') filter (where s.stage = 'transcript') as transcript_of,
        max(s.output_hash) filter (where s.stage = 'document') as document,
        max(s.inputs ->> 'transcript') filter (where s.stage = 'document') as document_of,
        max(s.output_hash) filter (where s.stage = 'chunks') as chunks,
        max(s.inputs ->> 'transcript') filter (where s.stage = 'chunks') as chunks_of_transcript,
        max(s.inputs ->> 'document') filter (where s.stage = 'chunks') as chunks_of_document,
        max(s.output_hash) filter (where s.stage = 'embeddings') as embeddings,
        max(s.inputs ->> 'chunks') filter (where s.stage = 'embeddings') as embeddings_of
    from current_results c
    join stage_results s on s.id = c.result_id and s.state = 'done'
    where c.org_id = r.org_id and c.recording_id = r.id
) p on true;

-- The one source of "how is my recording doing".
create view recording_status as
select r.org_id, r.id, r.title, r.kind, r.priority, r.created_at,
    coalesce(t.language, r.language) as language,
    m.duration_seconds,
    p.stages_done,
    case
        when d.id is not null then 'failed'
        when p.stages_done = 5 then 'ready'
        when live.stage = 'transcript' then 'transcribing'
        when live.stage = 'document' then 'writing'
        when live.stage = 'chunks' or p.stages_done = 3 then 'chunking'
        when live.stage = 'embeddings' or p.stages_done = 4 then 'embedding'
        when p.stages_done = 2 then 'transcribed'
        else 'uploaded'
    end as status,
    -- The share of the whole that each stage's end stands for: transcription takes most.
    (array[0, 5, 80, 85, 90, 100])[p.stages_done + 1]
        + coalesce(live.percent, 0) * (array[5, 75, 5, 5, 10, 0])[p.stages_done + 1] / 100
        as percent,
    case
        when d.id is not null then 'failed at ' || d.stage
        when p.stages_done = 5 then 'ready'
        when live.id is not null then live.detail
        else 'waiting'
    end as detail,
    case when d.id is not null then jsonb_build_object(
        'stage', d.stage, 'class', d.error_class, 'message', d.message,
        'remedy', d.remedy, 'attempts', d.attempts) end as error,
    live.id is not null as live
from recordings r
join recording_progress p using (org_id, id)
left join dead_letters d
    on d.org_id = r.org_id and d.recording_id = r.id and d.resolved_at is null
left join lateral (
    select l.id, l.stage, l.percent, l.detail from live_results l
    where l.recording_id = r.id order by l.id desc limit 1
) live on true
left join current_results cm
    on cm.org_id = r.org_id and cm.recording_id = r.id and cm.stage = 'raw_media'
left join raw_media m on m.result_id = cm.result_id
left join current_results ct
    on ct.org_id = r.org_id and ct.recording_id = r.id and ct.stage = 'transcript'
left join transcripts t on t.result_id = ct.result_id;
