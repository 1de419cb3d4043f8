-- Roles and row-level security: the database separates organisations.
--
-- playhead_app       search, answers, exports: reads, and writes what people enter
-- playhead_pipeline  produces results: writes, for one organisation per transaction
-- the owner          migrates, and manages all organisations: pending work, sets, plans, deletion

create extension if not exists vector;

-- Loads pgvector: before that, only a superuser may name its settings in a function.
select '[1]'::vector;

-- Return the organisation of this transaction; null if none was set, and null matches no row.
create function current_org() returns text language sql stable parallel safe as $$
    select nullif(current_setting('playhead.org', true), '')
$$;

-- Roles belong to the server, not the database: another database or an administrator may have
-- created them. The user who migrates must be able to set them.
do $$
declare
    names constant text[] := array['playhead_app', 'playhead_pipeline'];
    entered constant text := current_setting('role');
    missing text;
    role_name text;
begin
    foreach role_name in array names loop
        begin
            if to_regrole(role_name) is null then
                execute format('create role %I nologin', role_name);
            end if;
        exception when duplicate_object or unique_violation then
            null;  -- made by another a moment ago
        end;
        begin
            perform set_config('role', role_name, true);
            perform set_config('role', entered, true);
        exception when insufficient_privilege then
            execute format('grant %I to %I', role_name, current_user);
        end;
        if not has_schema_privilege(role_name, current_schema(), 'usage') then
            execute format('grant usage on schema %I to %I', current_schema(), role_name);
        end if;
    end loop;
exception when insufficient_privilege then
    select string_agg(format('create role %I nologin; ', name), '') into missing
    from unnest(names) as name where to_regrole(name) is null;
    raise exception using errcode = 'PH004',
        message = format('%s may not make or enter the roles %s', current_user,
            array_to_string(names, ' and ')),
        hint = format('%sgrant %s to %I;', missing, array_to_string(names, ', '), current_user);
end $$;

-- Let both roles see and write only rows of their transaction's organisation.
-- The owner has a policy of its own, since FORCE applies policies to the owner, too.
create function enable_rls(rows_of regclass) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security, force row level security', rows_of);
    execute format('create policy one_organisation on %s to playhead_app, playhead_pipeline '
        'using (org_id = current_org()) with check (org_id = current_org())', rows_of);
    execute format('create policy all_organisations on %s to %I using (true) with check (true)',
        rows_of, current_user);
end $$;
