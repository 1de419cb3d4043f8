"""Twenty organisations with the same file: none sees or changes another's rows.

Every named statement is tried with another organisation's keys, and error messages are compared.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import get_args

import psycopg
import pytest
from psycopg import sql

from playhead.core.errors import DatabaseUnavailable, NotFound
from playhead.core.records import Recording
from playhead.postgres.database import Database, Role, org_transaction
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.pipeline.content import Content
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.pipeline.stage_results import StageResults
from playhead.postgres.pipeline.transcript_versions import TranscriptVersions
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.tenant_data import (
    ORGS,
    OURS,
    SECRET,
    THEIRS,
    fill_tables,
    foreign_rows_hash,
    relations_with_org,
    result_ids,
    reveals_foreign_data,
    row_keys,
    select_rows,
    statement_values,
    tenant_statements,
)

ROLES: tuple[Role, ...] = get_args(Role)


@pytest.fixture(scope="module")
def shared(server: EmbeddedServer, template: str) -> Iterator[Database]:
    """Yield a database for tests that roll back their changes."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database twenty template {}").format(sql.Identifier(template))
        )
    database = Database(server.url("twenty"))
    yield database
    database.close()


@pytest.fixture(scope="module")
def recordings(shared: Database) -> dict[str, Recording]:
    """Return a recording per organisation, with the same bytes, title and words."""
    worker = PipelineDriver(shared)
    same = secrets.token_hex(32)
    by_org = {org: factories.add_recording(shared, org_id=org, sha256=same) for org in ORGS}
    for recording in by_org.values():
        worker.run_all_stages(recording)
    fill_tables(shared, worker, by_org[THEIRS])
    shared.run(b"analyze")
    worker.results.close()
    return by_org


def test_statement_with_foreign_keys_reveals_and_changes_nothing(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    recording = recordings[THEIRS]
    values, results = row_keys(shared, recording), result_ids(shared, recording)
    hashed = foreign_rows_hash(relations_with_org(shared, "rp"))
    with shared.connection() as connection, connection.transaction():
        connection.execute("select pg_current_xact_id()")
        [before] = connection.execute(hashed).fetchall()
    leaked, changed, answered = [], [], 0
    for name, statement in tenant_statements().items():
        for parameters in statement_values(statement, values, results):
            for role in ROLES:
                with shared.connection() as connection, connection.transaction(force_rollback=True):
                    with org_transaction(connection, OURS, role):
                        if reveals_foreign_data(connection, statement, parameters, recording):
                            leaked.append((name, role))
                    connection.execute("set local role none")
                    [row] = connection.execute(hashed).fetchall()
                    if row["hash"] not in (None, before["hash"]):
                        changed.append((name, role))
            with shared.connection() as connection, connection.transaction(force_rollback=True):
                # The keys are real: the owner gets rows.
                answered += reveals_foreign_data(connection, statement, parameters, recording)
    assert (leaked, changed) == ([], [])
    assert answered > 30


@pytest.mark.parametrize("role", ROLES)
def test_relations_show_each_organisation_only_its_own_rows(
    shared: Database, recordings: dict[str, Recording], role: Role
) -> None:
    seen = 0
    for name in relations_with_org(shared, "rpv"):
        for org in (OURS, THEIRS):
            with shared.as_role(org, role).transaction() as connection:
                rows = select_rows(connection, name)
            assert {row["org_id"] for row in rows} <= {org}, name
            seen += len(rows)
    assert seen > 20
    assert len(recordings) == 20


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("org", ["", "nobody", "ORG-01", "org-01 ", "%", "' or true --"])
def test_unknown_organisation_sees_nothing(
    shared: Database, recordings: dict[str, Recording], role: Role, org: str
) -> None:
    assert recordings
    for name in relations_with_org(shared, "rpv"):
        with shared.as_role(org, role).transaction() as connection:
            assert select_rows(connection, name) == []


def test_role_without_an_organisation_sees_and_writes_nothing(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    own = recordings[OURS]
    with shared.transaction() as connection:
        connection.execute("set local role playhead_pipeline")
        assert select_rows(connection, "recordings") == []
        assert connection.execute("update recordings set title = ''").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("insert into organisations (id) values ('new')")
    assert Recordings(shared).get(OURS, own.id).title == own.title


def test_result_for_the_wrong_organisation_is_rejected(database: Database) -> None:
    worker = PipelineDriver(database)
    ours = factories.add_recording(database, org_id=OURS)
    other = factories.add_recording(database, org_id=THEIRS, sha256=ours.sha256)
    worker.probe(ours)
    worker.probe(other)
    recipe = factories.make_recipe("transcript")
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        worker.claim(ours, recipe, {}) as claim,
        worker.results.finish(claim, output_hash="heard") as write,
    ):
        worker.content.put_transcript(*write, other, factories.make_transcript())
    assert factories.count_rows(database, b"transcripts") == 0
    assert worker.current(ours, "transcript") is None
    worker.results.close()


def test_results_of_two_organisations_are_not_finished_together(database: Database) -> None:
    worker = PipelineDriver(database)
    pair = [factories.add_recording(database, org_id=org) for org in (OURS, THEIRS)]
    recipe = factories.make_recipe("raw_media")
    with (
        worker.claim(pair[0], recipe, {}) as ours,
        worker.claim(pair[1], recipe, {}) as other,
        pytest.raises(ValueError, match="unpack"),
        worker.results.finish_all([ours, other], ["a", "b"]),
    ):
        pass
    assert worker.current(pair[0], "raw_media") is None
    worker.results.close()


def test_organisation_and_role_end_with_the_transaction(shared: Database) -> None:
    with shared.as_role(THEIRS, "playhead_app").transaction() as connection:
        connection.execute("select 1")
    with suppress(ZeroDivisionError), shared.as_role(THEIRS, "playhead_app").transaction():
        raise ZeroDivisionError
    with pytest.raises(psycopg.errors.DivisionByZero):
        shared.as_role(THEIRS, "playhead_app").run(b"select 1 / 0")
    [row] = shared.rows(
        b"select current_org() as org, current_user = session_user as owner,"
        b" pg_backend_pid() as pid"
    )
    assert (row["org"], row["owner"]) == (None, True)
    assert connection.closed or connection.info.backend_pid == row["pid"]  # the same session


def test_killed_session_leaves_neither_row_nor_role(
    database: Database,
) -> None:
    factories.add_recording(database, org_id=OURS)

    def insert_and_die() -> None:
        with database.as_role(OURS, "playhead_app").transaction() as connection:
            connection.execute(
                "insert into members (org_id, name, role) values (%s, 'Ada', 'owner')", [OURS]
            )
            database.run(b"select pg_terminate_backend(%(pid)s)", pid=connection.info.backend_pid)
            connection.execute("select 1")

    with pytest.raises(DatabaseUnavailable):
        insert_and_die()
    assert factories.count_rows(database, b"members") == 0
    [row] = database.rows(b"select current_org() as org, current_user::text as who")
    assert (row["org"], row["who"]) == (None, "postgres")


def test_foreign_recording_gives_the_same_error_as_an_unknown_one(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    store = Recordings(shared)

    def answers(identity: str) -> list[str]:
        messages = []
        for query in (
            lambda: store.get(OURS, identity),
            lambda: store.statuses(OURS, [identity]),
        ):
            with pytest.raises(NotFound) as raised:
                query()
            messages.append(f"{raised.value} {raised.value.remedy}".replace(identity, ""))
        return messages

    assert answers(recordings[THEIRS].id) == answers(str(uuid.uuid4()))
    assert store.archive(OURS, [recordings[THEIRS].id]) == {}
    assert store.requeue(OURS, [recordings[THEIRS].id]) == []


def test_foreign_result_cannot_be_pinned_or_read(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    ours, other = recordings[OURS], recordings[THEIRS]
    ledger = StageResults(shared)
    foreign = replace(other, org_id=OURS)
    [row] = shared.rows(
        b"select id from stage_results where org_id = %(org)s and stage = 'transcript'", org=THEIRS
    )
    assert TranscriptVersions(shared, ledger, Content(shared)).all(foreign) == []
    assert ledger.lineage(foreign) == []
    assert ledger.current_results([foreign])[other.id] == {}
    with pytest.raises(Exception, match="deleted"):
        ledger.pin(ours, row["id"], "somebody")
    with pytest.raises(Exception, match="deleted"):
        Content(shared).transcript(ours, row["id"])


def test_foreign_key_of_another_organisation_is_treated_as_unknown(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    existing, unused = recordings[THEIRS].id, str(uuid.uuid4())
    messages = []
    with (
        shared.connection() as connection,
        connection.transaction(force_rollback=True),
        org_transaction(connection, OURS, "playhead_pipeline"),
    ):
        for identity in (existing, unused):
            refused = pytest.raises(psycopg.errors.ForeignKeyViolation)
            with refused as raised, connection.transaction():
                connection.execute(
                    "insert into parked_recordings (org_id, recording_id, stage, error_class,"
                    " reason, remedy) values (%s, %s, 'chunks', 'E', '', '')",
                    [OURS, identity],
                )
            messages.append(str(raised.value).replace(identity, ""))
        for identity in (existing, unused):
            connection.execute(
                "insert into recordings (id, org_id, sha256, size_bytes, kind, title, suffix,"
                " partition_key)"
                " values (%s, %s, %s, 1, 'recording', '', '', %s)",
                [identity, OURS, secrets.token_hex(32), identity],
            )
    assert messages[0] == messages[1]


def test_planner_statistics_are_hidden_from_roles(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    assert recordings
    common = b"select s::text as values from pg_stats s where schemaname = 'public'"
    names = b" and tablename not in ('embedding_sets', 'playhead_migrations')"
    assert any("Ada" in str(row["values"]) for row in shared.rows(common + names))
    for role in ROLES:
        assert shared.as_role(OURS, role).rows(common + names) == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shared.as_role(OURS, role).rows(b"select * from pg_statistic")


def test_full_text_statistics_cover_only_own_chunks(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    assert recordings
    words = b"select word, ndoc from ts_stat('select words from chunks') order by word"
    own = shared.as_role(OURS, "playhead_app").rows(words)
    assert [row["ndoc"] for row in own] == [1, 1]  # "one" and "two"; of all there are 20
    assert {row["ndoc"] for row in shared.rows(words)} == {20}


def test_sequences_are_hidden_from_roles(
    shared: Database, recordings: dict[str, Recording]
) -> None:
    assert recordings
    for role in ROLES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shared.as_role(OURS, role).rows(b"select last_value from stage_results_id_seq")


def test_queries_of_other_sessions_are_hidden_from_roles(shared: Database) -> None:
    with shared.as_role(THEIRS, "playhead_app").transaction() as connection:
        connection.execute("select 'their question'")
        for role in ROLES:
            rows = shared.as_role(OURS, role).rows(
                b"select query from pg_stat_activity where pid <> pg_backend_pid()"
                b" and datname = current_database()"
            )
            assert {row["query"] for row in rows} == {"<insufficient privilege>"}


def test_text_embedded_by_another_organisation_is_embedded_again(
    database: Database,
) -> None:
    worker = PipelineDriver(database)
    for org in (OURS, THEIRS):
        worker.run_all_stages(factories.add_recording(database, org_id=org), ("the same words",))
    assert worker.embedded_texts == ["the same words"] * 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.as_role(OURS, "playhead_app").rows(b"select * from embedding_cache")
    worker.results.close()


def test_pending_notification_does_not_name_the_organisation(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("listen playhead_pending")
        factories.add_recording(database, org_id=THEIRS, title=SECRET)
        [notice] = connection.notifies(timeout=5, stop_after=1)
    assert notice.payload == ""
