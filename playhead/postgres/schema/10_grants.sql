-- Row-level security on every table with org_id, and what each role may do.
-- A new table is added to the loop by its org_id; its grants are written here.

do $$
declare
    rows_of regclass;
begin
    for rows_of in
        select c.oid from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    loop
        perform enable_rls(rows_of);
    end loop;
end $$;

alter table organisations enable row level security, force row level security;
create policy one_organisation on organisations to playhead_app, playhead_pipeline
    using (id = current_org()) with check (id = current_org());
do $$
begin
    execute format('create policy all_organisations on organisations to %I '
        'using (true) with check (true)', current_user);
end $$;

-- Views show what the caller may see.
alter view recording_status set (security_invoker = true);
alter view live_results set (security_invoker = true);
alter view parked set (security_invoker = true);
alter view live_processes set (security_invoker = true);

grant select on organisations, recordings, stage_results, current_results, dead_letters,
    parked_recordings, raw_media, transcripts, documents, chunks, embeddings, embedded_recordings,
    embedding_sets, speaker_names, provider_attempts, circuit_breakers, attempt_shares, spent_days,
    quarantine, recording_status, live_results, parked
to playhead_app;
grant insert, update on speaker_names to playhead_app;
grant select, insert on conversations, turns, answer_sentences, citations to playhead_app;
grant select, insert, update, delete on members to playhead_app;
-- A token is created here and never read again: only the owner compares secrets.
grant select (org_id, id, member, name, scopes, created_at, last_used_at, expires_at, revoked_at),
    insert, update (revoked_at)
on api_tokens to playhead_app;

grant select, insert, update on recordings, stage_results, current_results, dead_letters, raw_media,
    transcripts, documents, embedded_recordings, embedding_cache, provider_attempts, attempt_shares,
    provider_rate_limits, spent_days, batches, batch_request_recordings
to playhead_pipeline;
grant select, insert, update, delete on parked_recordings, transcript_pieces, chunks, embeddings,
    circuit_breakers, quarantine, batch_requests
to playhead_pipeline;
grant select, insert on organisations to playhead_pipeline;
grant select on embedding_sets, speaker_names, recording_status, live_results, parked
to playhead_pipeline;

-- Only the functions that check the organisation may be called by the application.
revoke execute on function search_text, nearest_by_index, nearest from public;
grant execute on function search_text, nearest to playhead_app;
