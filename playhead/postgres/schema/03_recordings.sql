-- Recordings, stage results, and the content that the stages produce.

create table recordings (
    id uuid not null,
    org_id text not null references organisations,
    partition_key text not null,  -- in Dagster; see playhead/core/partition_keys.py
    sha256 text not null check (length(sha256) = 64),
    size_bytes bigint not null,
    kind text not null,
    title text not null,
    language text,
    suffix text not null,
    speakers text not null default 'none' check (speakers in ('none', 'tracks', 'channels')),
    transcriber text,  -- the engine chosen for this recording; null: that of the settings
    writer text,
    priority smallint not null default 0,
    created_at timestamptz not null default now(),
    requested_at timestamptz,  -- when a run was last requested
    requests integer not null default 0,  -- runs requested since a stage was last finished
    stages_done smallint not null default 0,  -- for the active set
    archived_at timestamptz,
    primary key (id, org_id),
    unique (org_id, id),
    unique (org_id, sha256),
    unique (partition_key, org_id)
);
create index recordings_pending on recordings (priority desc, id) where stages_done < 5;

-- Ids of deleted recordings. The hash finds a partition key that a killed deletion left in Dagster.
create table deleted_recordings (
    recording_id uuid primary key,
    partition_key_sha256 text not null,
    deleted_at timestamptz not null default now(),
    erased_at timestamptz  -- scanned for everywhere, and not found
);

-- One row per (recording, stage, input, recipe). A row that is done is not produced again.
-- Workers hold the advisory lock (playhead_lock_class(), id) while they work on a row, so a
-- running row without its lock belongs to a dead worker.
create table stage_results (
    id integer generated always as identity,
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
    parks integer not null default 0,  -- attempts that were released without a failure
    run_id text,
    started_at timestamptz,
    finished_at timestamptz,
    output_hash text,
    percent smallint not null default 0 check (percent between 0 and 100),
    detail text not null default '',
    tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    error jsonb,
    primary key (id, org_id),
    -- Keys begin with the most selective column: on fresh tables the planner takes any index that
    -- starts with an equal column for a good one, and would read all of an organisation.
    unique (recording_id, stage, input_hash, recipe_hash, org_id),
    unique (org_id, recording_id, id),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index stage_results_running on stage_results (recording_id) where state = 'running';

-- The results that readers see, by recording, stage and embedding set. Moved in the transaction
-- that writes the result. Stages before chunking belong to no set: 0.
create table current_results (
    org_id text not null,
    recording_id uuid not null,
    stage text not null,
    set_id integer not null default 0,
    result_id integer not null,
    pinned_by text,  -- a person corrected or restored this result, so the pipeline leaves it
    primary key (org_id, recording_id, stage, set_id),
    check ((set_id = 0) = (stage in ('raw_media', 'transcript', 'document'))),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
create index current_results_result on current_results (org_id, recording_id, result_id);

-- Recordings that failed for good.
create table dead_letters (
    id integer generated always as identity,
    org_id text not null,
    recording_id uuid not null,
    result_id integer,  -- null if no stage started
    stage text not null,
    error_class text not null,
    message text not null,
    remedy text not null,
    attempts integer not null,
    run_id text,
    created_at timestamptz not null default now(),
    resolved_at timestamptz,
    primary key (id, org_id),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade,
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
create unique index dead_letters_open on dead_letters (org_id, recording_id)
    where resolved_at is null;

-- Recordings that wait until a time, or (null) until a person resumes their provider. A row whose
-- time has come blocks nothing; it is deleted when its recording progresses.
create table parked_recordings (
    org_id text not null,
    recording_id uuid not null,
    stage text not null,
    until timestamptz,
    error_class text not null,
    reason text not null,
    remedy text not null,
    parked_at timestamptz not null default now(),
    primary key (org_id, recording_id),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);

create table raw_media (
    result_id integer not null,
    org_id text not null,
    recording_id uuid not null,
    container text not null,
    codec text not null,
    media_type text not null,
    sample_rate integer not null,
    channels integer not null,
    duration_seconds double precision not null,
    streams text[] not null,
    primary key (result_id, org_id),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);

create table transcripts (
    result_id integer not null,
    org_id text not null,
    recording_id uuid not null,
    text text not null,
    language text not null,
    duration_seconds double precision not null,
    words jsonb not null,
    segments jsonb not null,
    -- Chunking reads the columns below: parsing 6,000 words of JSON and locating them in the text
    -- takes 30 ms, this 0.4 ms.
    timeline bytea,  -- 28 bytes per word, see playhead/transcripts/timeline.py
    speakers text[],  -- of the timeline, in its order
    breaks integer[],  -- the characters where segments begin
    timing text not null default 'native' check (timing in ('native', 'aligned', 'interpolated')),
    error_seconds double precision,  -- maximum error of a word; null: as the engine states
    dropped jsonb not null default '[]',  -- [{text, start, end, reason}]
    languages text[],  -- of each of the breaks, if more than one language is spoken
    primary key (result_id, org_id),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
alter table transcripts alter column timeline set storage external;  -- hardly compressible

-- Pieces of unfinished transcripts: a worker that dies loses only the transcript_pieces in progress. They are
-- deleted in the transaction that stores the transcript.
create table transcript_pieces (
    org_id text not null,
    recording_id uuid not null,
    engine_hash text not null,  -- everything that a piece's words and times depend on
    language text not null,  -- that was requested; empty: detected
    sound_sha256 text not null,
    transcript jsonb not null,  -- in seconds from the piece's start
    stored_at timestamptz not null default now(),
    primary key (org_id, recording_id, engine_hash, language, sound_sha256),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);

-- Names that people gave to speakers.
create table speaker_names (
    org_id text not null,
    recording_id uuid not null,
    label text not null,  -- as in the transcript
    name text not null,
    primary key (org_id, recording_id, label),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
create index speaker_names_name on speaker_names (org_id, lower(name));

create table documents (
    result_id integer not null,
    org_id text not null,
    recording_id uuid not null,
    title text not null,
    content text not null,
    format text not null,
    spans jsonb not null,
    metadata jsonb not null,
    primary key (result_id, org_id),
    foreign key (org_id, recording_id, result_id)
        references stage_results (org_id, recording_id, id) on delete cascade
);
