-- name: set_lock_timeout
set lock_timeout = '500ms'

-- name: tables
-- All but the chunks, and those of vectors: numbers, and hours to index anew where there are many.
select c.oid::regclass::text as name
from pg_class c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname <> 'chunks'
  and not exists (
    select from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and a.atttypid = to_regtype('vector'))
order by pg_table_size(c.oid)

-- name: vector_tables
select c.oid::regclass::text as name
from pg_class c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and exists (
    select from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and a.atttypid = to_regtype('vector'))

-- name: chunks
select 'chunks' as name where to_regclass('chunks') is not null

-- name: rewrite_chunks
vacuum (full, analyze) chunks

-- name: rewrite
vacuum (full, analyze) {table}

-- name: vacuum
vacuum (analyze, index_cleanup on) {table}

-- name: rewrite_statistics
vacuum (full) pg_statistic

-- name: drop_words_index
drop index if exists chunks_words

-- name: build_words_index
create index if not exists chunks_words on chunks using gin (words)

-- name: now
select pg_current_xact_id()::xid::text as xid

-- name: open_transactions
-- Who may still see what was deleted before transaction xid; a worker that only waits its turn
-- may wait for hours, and loses nothing but that.
select a.pid, a.application_name, a.wait_event_type = 'Lock' and a.wait_event = 'advisory' as idle
from pg_stat_activity a
where a.datname = current_database() and a.pid <> pg_backend_pid()
  and a.backend_type = 'client backend'
  and (age(a.backend_xmin) > age(%(xid)s::xid) or age(a.backend_xid) > age(%(xid)s::xid))

-- name: cancel
select pg_cancel_backend(%(pid)s)

-- name: checkpoint
checkpoint

-- name: new_log_file
select pg_switch_wal()
