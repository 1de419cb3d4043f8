"""Fixtures for all tests: one embedded Postgres per session, a fresh migrated database per test.

The embedded server starts once per session in a temporary home; every test that requests
``database`` gets a copy of a migrated template, created in tens of milliseconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from playhead.postgres.database import Database
from playhead.postgres.database_urls import create_database
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.migrator import migrate
from tests.support import time_travel

_TEMPLATE = "template_playhead"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Yield the session's running embedded server, on the clock of the tests."""
    server = EmbeddedServer(tmp_path_factory.mktemp("home") / "postgres")
    with pytest.MonkeyPatch.context() as patch:
        time_travel.keep_postgres_on_this_clock(patch)
        server.attach()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        # Every test's database is hundreds of files, and none has to survive a power failure.
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    yield server
    server.detach()  # its supervisor stops it: half a second per database, nobody waits for it


@pytest.fixture(scope="session")
def template(server: EmbeddedServer) -> str:
    create_database(server.url("postgres"), _TEMPLATE)
    migrate(server.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def fresh_database(server: EmbeddedServer, template: str) -> Callable[[], str]:
    """Return a function that creates a migrated database and returns its URL."""

    def create() -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return server.url(name)

    return create


@pytest.fixture
def database(fresh_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(fresh_database())
    yield database
    database.close()


@pytest.fixture
def speech() -> Path:
    """Return the folder of real recordings; its MANIFEST.tsv has sources and reference texts."""
    return Path(__file__).parent / "fixtures" / "speech"
