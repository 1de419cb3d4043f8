"""Row-level security of every table, key, role, view and function, from the system catalogue."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from playhead.postgres.database import Database
from tests.support.factories import PipelineDriver

ROLES = ("playhead_app", "playhead_pipeline")

#: Tables whose rows belong to no organisation, and why.
SHARED = {
    "organisations": "its id is the organisation; policies compare that",
    "embedding_sets": "model names and which set is searched, for the whole installation",
    "deleted_recordings": "opaque ids and hashes; their organisation would be a trace",
    "playhead_migrations": "the migrator's own table",
}
#: Shared tables that the roles may read; they may write none of them.
READ_BY_ALL = {"embedding_sets"}

#: Unique keys without the organisation, and why.
UNIQUE_FOR_ALL = {
    "plans_pkey": "belongs to the operator; the roles have no access to plans",
    "plans_one_per_set": "belongs to the operator; sets belong to the installation",
}

#: Security definer functions; each checks the organisation of the transaction.
SECURITY_DEFINERS = {"search_text", "nearest"}

TABLES = b"""
select c.relname as name, c.relrowsecurity and c.relforcerowsecurity as forced, exists (
        select from pg_attribute a
        where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped) as has_org,
    array(select p.policyname::text from pg_policies p
          where p.schemaname = 'public' and p.tablename = c.relname and p.cmd = 'ALL'
            and p.permissive = 'PERMISSIVE' and p.roles @> %(roles)s::name[]
            and p.qual in ('(org_id = current_org())', '(id = current_org())')
            and p.with_check = p.qual) as isolating,
    array(select p.policyname::text from pg_policies p
          where p.schemaname = 'public' and p.tablename = c.relname
            and (p.roles && (%(roles)s::name[] || 'public'::name))) as policies,
    exists (select from unnest(%(roles)s::text[]) r
            where has_table_privilege(r, c.oid, 'select')) as readable,
    exists (select from unnest(%(roles)s::text[]) r
            where has_table_privilege(r, c.oid, 'insert, update, delete, truncate')) as writable,
    c.relispartition as partition
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1"""

UNIQUE = b"""
select i.indexrelid::regclass::text as name
from pg_index i
join pg_attribute a on a.attrelid = i.indrelid and a.attname = 'org_id' and not a.attisdropped
where i.indisunique and a.attnum <> all(i.indkey)
  and i.indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)"""

REFERENCES = b"""
select f.conname as name
from pg_constraint f
join pg_attribute a on a.attrelid = f.conrelid and a.attname = 'org_id' and not a.attisdropped
join pg_attribute b on b.attrelid = f.confrelid and not b.attisdropped
    and b.attname = case f.confrelid when 'organisations'::regclass then 'id' else 'org_id' end
where f.contype = 'f' and not exists (
    select from unnest(f.conkey, f.confkey) as pair (referencing, referenced)
    where referencing = a.attnum and referenced = b.attnum)"""

VIEWS = b"""
select relname as name from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')
  and not coalesce(reloptions @> array['security_invoker=true'], false)"""

FUNCTIONS = b"""
select p.proname as name, exists (
        select from unnest(p.proconfig) as c where c like 'search_path=%%') as path_set,
    exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where a.grantee = 0) as public_execute
from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef"""

PRIVILEGES = b"""
select r.rolname as name from pg_roles r
where r.rolname = any(%(roles)s) and (
    r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
    or r.rolreplication
    or exists (select from pg_auth_members m where m.member = r.oid)
    or exists (select from pg_class c where c.relowner = r.oid)
    or exists (select from pg_proc p where p.proowner = r.oid)
    or exists (select from pg_namespace n where n.nspowner = r.oid)
    or has_schema_privilege(r.oid, 'public', 'create'))"""


def find_faults(database: Database) -> set[str]:
    """Return the objects that do not isolate organisations, and why."""
    return {*_check_tables(database), *_check_keys(database), *_check_functions(database)}


def _check_tables(database: Database) -> Iterator[str]:
    for row in database.rows(TABLES, roles=list(ROLES)):
        name, shared = row["name"], row["name"] in SHARED
        if not row["has_org"] and not shared:
            yield f"{name}: has no org_id"
        if row["has_org"] and shared:
            yield f"{name}: has org_id though it is listed as shared"
        if (row["has_org"] or name == "organisations") and not row["forced"]:
            yield f"{name}: row-level security is not forced"
        if (row["has_org"] or name == "organisations") and row["isolating"] != row["policies"]:
            yield f"{name}: its policies are not those of enable_rls"
        if not row["has_org"] and name != "organisations" and row["writable"]:
            yield f"{name}: shared but writable"
        if not row["has_org"] and name not in {*READ_BY_ALL, "organisations"} and row["readable"]:
            yield f"{name}: shared but readable"
        if row["partition"] and (row["readable"] or row["writable"]):
            yield f"{name}: a partition that is accessible beside its table"
    for row in database.rows(VIEWS):
        yield f"{row['name']}: view without security_invoker"


def _check_keys(database: Database) -> Iterator[str]:
    for row in database.rows(UNIQUE):
        if row["name"] not in UNIQUE_FOR_ALL:
            yield f"{row['name']}: unique for all organisations"
    for row in database.rows(REFERENCES):
        yield f"{row['name']}: refers to any organisation's row"


def _check_functions(database: Database) -> Iterator[str]:
    for row in database.rows(FUNCTIONS):
        if row["name"] not in SECURITY_DEFINERS:
            yield f"{row['name']}: unlisted security definer"
        if not row["path_set"]:
            yield f"{row['name']}: security definer without search_path"
        if row["public_execute"]:
            yield f"{row['name']}: security definer executable by public"
    for row in database.rows(PRIVILEGES, roles=list(ROLES)):
        yield f"{row['name']}: has more privileges than its grants"


def test_every_database_object_isolates_organisations(
    database: Database, worker: PipelineDriver
) -> None:
    assert worker.set_id  # with a partition
    assert find_faults(database) == set()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("create table notes (words text)", "notes: has no org_id"),
        (
            "create table notes (org_id text, words text)",
            "notes: row-level security is not forced",
        ),
        (
            (
                "create table notes (org_id text); select enable_rls('notes');"
                "alter table notes no force row level security"
            ),
            "notes: row-level security is not forced",
        ),
        (
            (
                "create table notes (org_id text); select enable_rls('notes');"
                "create policy open on notes for select using (true)"
            ),
            "notes: its policies are not those of enable_rls",
        ),
        (
            "alter policy one_organisation on chunks with check (true)",
            "chunks: its policies are not those of enable_rls",
        ),
        (
            "create table notes (org_id text, id uuid primary key); select enable_rls('notes')",
            "notes_pkey: unique for all organisations",
        ),
        (
            "create unique index one_title on recordings (title)",
            "one_title: unique for all organisations",
        ),
        (
            (
                "create table notes (org_id text, set_id integer unique, plan integer"
                " constraint of_plan references plans); select enable_rls('notes')"
            ),
            "of_plan: refers to any organisation's row",
        ),
        (
            "grant select on deleted_recordings to playhead_app",
            "deleted_recordings: shared but readable",
        ),
        (
            "grant update on embedding_sets to playhead_app",
            "embedding_sets: shared but writable",
        ),
        (
            "create view titles as select title from recordings",
            "titles: view without security_invoker",
        ),
        (
            (
                "create function all_titles() returns bigint language sql security definer"
                " as 'select count(*) from recordings'"
            ),
            "all_titles: unlisted security definer",
        ),
        (
            "grant select on embeddings_set_1 to playhead_app",
            "embeddings_set_1: a partition that is accessible beside its table",
        ),
        (
            "alter schema public owner to playhead_app",
            "playhead_app: has more privileges than its grants",
        ),
    ],
)
def test_object_without_isolation_is_reported(
    database: Database, worker: PipelineDriver, statement: str, fault: str
) -> None:
    assert worker.set_id == 1
    with database.connection() as connection:
        connection.execute(statement.encode())
    assert fault in find_faults(database)


def test_role_that_could_log_in_or_bypass_is_reported(database: Database) -> None:
    with database.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute("alter role playhead_app bypassrls")
        [row] = connection.execute(PRIVILEGES, {"roles": list(ROLES)}).fetchall()
    assert row["name"] == "playhead_app"


def test_tables_are_created_only_by_the_owner(database: Database) -> None:
    for role in ROLES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.as_role("default", role).run(b"create table notes (words text)")  # type: ignore[arg-type]
