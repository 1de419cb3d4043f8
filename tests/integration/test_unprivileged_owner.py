"""A database whose owner is not a superuser, as on most hosted servers.

Row-level security applies to the owner too, and an administrator may have to grant it the roles.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from pipeline_assets.definitions import build_definitions
from playhead.core.errors import DatabaseUnsuitable
from playhead.core.settings import Settings
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.migrator import SCHEMA, available, migrate, schema_sql
from playhead.search.service import SearchService
from playhead.services.context import open_pipeline_services
from tests.integration.conftest import Pipeline, stub_engines, write_sound

_numbers = itertools.count()


@pytest.fixture
def administrator(server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(administrator: psycopg.Connection, template: str) -> str:
    """Return a role that owns the database of the same name and may not create roles."""
    assert template  # its migrations created the roles
    name = f"plain_{next(_numbers)}"
    administrator.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    administrator.execute(
        sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(name))
    )
    return name  # removed with the server: dropping it takes a checkpoint


def url_of(server: EmbeddedServer, owner: str) -> str:
    return server.url(owner).replace("postgres@", f"{owner}@")


def add_pgvector(server: EmbeddedServer, database: str) -> None:
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute("create extension vector")


def remedy_statement(url: str) -> str:
    with pytest.raises(DatabaseUnsuitable, match="may not") as raised:
        migrate(url)
    introduction, _, statement = raised.value.remedy.partition(": ")
    assert introduction.startswith("Ask an administrator to run")
    return statement


def test_missing_privileges_are_reported_with_the_sql_that_grants_them(
    server: EmbeddedServer, owner: str
) -> None:
    url = url_of(server, owner)
    with psycopg.connect(server.url(owner), autocommit=True) as administrator:
        for expected in ("create extension vector;", "grant playhead_app, playhead_pipeline to"):
            statement = remedy_statement(url)
            assert statement.startswith(expected)
            administrator.execute(statement.encode())
    migrate(url)
    with psycopg.connect(url) as connection:
        migrations = connection.execute(
            "select name from playhead_migrations order by 1"
        ).fetchall()
    assert [name for (name,) in migrations] == sorted([SCHEMA, *available()])


def test_owner_who_may_create_roles_needs_no_administrator(
    server: EmbeddedServer, owner: str, administrator: psycopg.Connection
) -> None:
    """Create the schema with other role names, since the server has ours already."""
    administrator.execute(sql.SQL("alter role {} createrole").format(sql.Identifier(owner)))
    add_pgvector(server, owner)
    with (
        psycopg.connect(url_of(server, owner), autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        statements = schema_sql().replace("playhead_app", f"app_of_{owner}")
        statements = statements.replace("playhead_pipeline", f"pipeline_of_{owner}")
        connection.execute(statements.encode())
        connection.execute(f"set local role app_of_{owner}".encode())
        assert connection.execute("select * from recordings").fetchall() == []


def test_recording_is_processed_and_found_under_forced_policies(
    server: EmbeddedServer, owner: str, administrator: psycopg.Connection, tmp_path: Path
) -> None:
    administrator.execute(
        sql.SQL("grant playhead_app, playhead_pipeline to {}").format(sql.Identifier(owner))
    )
    add_pgvector(server, owner)
    settings = Settings(home=tmp_path / "home", database_url=url_of(server, owner))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        open_pipeline_services(settings, stub_engines()) as services,
    ):
        pipeline = Pipeline(
            services, instance, build_definitions(settings, engines=services.engines)
        )
        sound = write_sound(tmp_path / "talk.wav")
        recording = services.ingest.add(sound, org_id="acme").recording
        assert pipeline.run(recording).success
        [status] = services.pipeline.recordings.statuses("acme")
        assert status.status == "ready"
        result = services.pipeline.results.current_results([recording])[recording.id][
            "transcript", 0
        ]
        word = services.pipeline.content.transcript(recording, result.id).words[0].word

        def find_recordings(org: str) -> list[str]:
            search = SearchService(
                services.search.chunks,
                services.search.embedding_sets,
                services.engines.embedders,
                services.files.media,
                org,
            )
            return [hit.recording for hit in search(word).hits]

        assert set(find_recordings("acme")) == {recording.id}
        assert find_recordings("other") == []
        services.deletion.delete([recording.id])
        assert services.pipeline.recordings.statuses("acme") == []
