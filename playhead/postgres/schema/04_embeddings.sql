-- Chunks, embedding sets and vectors.

-- Return the text search configuration of an ISO 639-1 language.
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

-- A chunk is identified by its text, not its position: (text_hash, occurrence) within a recording
-- and recipe. A chunk with unchanged text keeps its id, vector and citations.
create table chunks (
    id uuid not null default gen_random_uuid(),
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
    phrases jsonb not null,  -- sentences: [char_start, char_end, start_seconds, end_seconds]
    search_config regconfig not null,
    words tsvector generated always as (to_tsvector(search_config, text)) stored,
    is_current boolean not null default true,  -- else searched until its successors have vectors
    primary key (id, org_id),
    unique (org_id, id),
    unique (recording_id, recipe_hash, source, text_hash, occurrence, org_id),
    check (char_start < char_end),
    check (start_seconds <= end_seconds),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
create index chunks_words on chunks using gin (words);
create index chunks_languages on chunks (org_id, search_config);
create index chunks_speaker on chunks (org_id, lower(speaker)) where speaker is not null;
create index chunks_replaced on chunks (org_id, recording_id) where not is_current;

-- An embedding set holds the vectors of one model in a partition of its own.
-- building: being filled, not searched. active: searched. standby: was active and is still filled,
-- so that a rollback changes one row. retired: its vectors are deleted.
create table embedding_sets (
    id integer generated always as identity primary key,
    name text not null,  -- the embedder's name in settings
    engine jsonb not null,
    engine_hash text not null unique,
    dimensions integer not null check (dimensions between 1 and 16000),
    state text not null check (state in ('building', 'active', 'standby', 'retired')),
    gate jsonb,  -- the evaluation before it was activated
    created_at timestamptz not null default now(),
    activated_at timestamptz
);
create unique index embedding_sets_one_active on embedding_sets (state) where state = 'active';

-- The key begins with the chunk, by which vectors are found and deleted.
create table embeddings (
    set_id integer not null references embedding_sets,
    org_id text not null,
    chunk_id uuid not null,
    result_id integer not null,
    vector vector not null,
    primary key (org_id, chunk_id, set_id),
    foreign key (org_id, chunk_id) references chunks (org_id, id) on delete cascade
) partition by list (set_id);

-- Recordings that are complete in a set, with the recipe of the chunks that are searched there.
create table embedded_recordings (
    result_id integer not null,
    org_id text not null,
    recording_id uuid not null,
    set_id integer not null references embedding_sets,
    chunk_recipe_hash text not null,
    primary key (result_id, org_id),
    unique (org_id, recording_id, set_id),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

-- A text is embedded once per model and organisation, even if the worker dies right after.
create table embedding_cache (
    org_id text not null references organisations,
    set_id integer not null references embedding_sets,
    text_hash text not null,
    vector vector not null,
    recording_id uuid,  -- the first with this text; its deletion deletes the vector
    primary key (text_hash, set_id, org_id)
);

-- Decisions to rebuild results. What is left of a plan is always a query; ``position`` only saves
-- looking twice at recordings behind it.
create table plans (
    id integer generated always as identity primary key,
    stages text[] not null,
    set_id integer references embedding_sets,  -- a set that is being built
    org_id text references organisations,
    kind text,
    since timestamptz,
    author text not null,
    estimated_usd numeric not null,
    confirmed_usd numeric,
    batch boolean not null default false,  -- its calls may use the Batch API
    state text not null default 'open' check (state in ('open', 'done', 'cancelled')),
    position uuid,
    created_at timestamptz not null default now(),
    ended_at timestamptz
);
create unique index plans_one_per_set on plans (set_id) where state = 'open' and set_id is not null;
