-- What people put right: names of speakers. Versions of transcripts need no table of their own:
-- every transcript is a result, and current_results.chosen_by names who put one in place.

create table speaker_names (
    org_id text not null,
    recording_id uuid not null,
    label text not null,  -- as the transcript has it
    name text not null,
    primary key (org_id, recording_id, label),
    foreign key (org_id, recording_id) references recordings (org_id, id) on delete cascade
);
