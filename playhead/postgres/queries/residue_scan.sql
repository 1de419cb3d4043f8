-- name: text_columns
select c.table_name as table, c.column_name as column, c.data_type = 'bytea' as bytes
from information_schema.columns c
join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.is_generated = 'NEVER'
  and c.data_type in ('text', 'character varying', 'json', 'jsonb', 'uuid', 'bytea',
    'ARRAY')
  and c.table_name <> all(%(besides)s)
order by c.table_name, c.ordinal_position

-- name: holds
select exists (
    select
    from (select {column}::text || '' as plain from {table} offset 0) as texts  -- unpacked once
    cross join unnest(%(needles)s::text[]) as needle
    where strpos(plain, needle) > 0) as holds

-- name: holds_as_bytes
select exists (
    select from {table}
    cross join unnest(%(needles)s::text[]) as needle
    where position(convert_to(needle, 'UTF8') in {column}) > 0) as holds
