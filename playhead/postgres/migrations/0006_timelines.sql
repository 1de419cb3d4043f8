-- What passages are cut by, made from words and segments when they are written: reading 6,000 words
-- as JSON and finding each in the text anew takes 30 ms, this 0.4 ms (arrays 1.2 ms: each number
-- apart). Null in older rows: made when it is read.
alter table transcripts
    add column timeline bytea,  -- of 28 bytes a word, see playhead/transcripts/timeline.py
    add column speakers text[],  -- of the timeline, in its order
    add column breaks integer[];  -- the characters where segments begin

alter table transcripts alter column timeline set storage external;  -- hardly gets smaller
