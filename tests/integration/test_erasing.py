"""Erasing: the bytes of rows that are gone go too, and nobody is made to wait for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from playhead.core.errors import DatabaseUnavailable
from playhead.postgres.database import Database
from playhead.postgres.deletion import physical_erasure
from playhead.postgres.deletion.physical_erasure import RowsStillVisible, erase
from playhead.postgres.deletion.rows import RecordingDeletion
from tests.support import factories
from tests.support.factories import PipelineDriver

_INDEXES = "select indexdef from pg_indexes where schemaname = 'public' order by indexname"


def test_erasing_leaves_every_index_as_it_was(database: Database, worker: PipelineDriver) -> None:
    worker.run_all_stages(factories.add_recording(database))
    with psycopg.connect(database.url) as connection:
        before = connection.execute(_INDEXES).fetchall()
    erase(database.url)
    with psycopg.connect(database.url) as connection:
        assert connection.execute(_INDEXES).fetchall() == before


def test_erasing_does_not_say_done_while_somebody_still_sees_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(physical_erasure, "_LOCK_TIMEOUT_SECONDS", 0.2)
    ours = factories.add_recording(database)
    with psycopg.connect(database.url) as onlooker:
        onlooker.execute("set transaction isolation level repeatable read")
        onlooker.execute("select 1")
        RecordingDeletion(database).delete([ours.id])
        with pytest.raises(RowsStillVisible, match="still seen by"):
            erase(database.url)
    erase(database.url)


def test_erasing_makes_no_search_wait_behind_it_for_a_table_that_is_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(physical_erasure, "_LOCK_TIMEOUT_SECONDS", 0.2)
    with psycopg.connect(database.url) as user, psycopg.connect(database.url) as searcher:
        user.execute("select count(*) from chunks")
        searcher.execute("set statement_timeout = '5s'")
        with pytest.raises(RowsStillVisible, match="used without end"):
            erase(database.url)
        searcher.execute("select count(*) from chunks")


def test_erasing_takes_only_its_turn_from_a_worker_that_waits(database: Database) -> None:
    """One may wait for hours, for another that listens to the same recording."""
    recording = factories.add_recording(database)
    first, second = PipelineDriver(database), PipelineDriver(database)
    facts = {"sha256": recording.sha256}
    with (
        ThreadPoolExecutor(1) as waiting,
        first.claim(recording, factories.make_recipe("raw_media"), facts),
    ):

        def wait() -> None:
            with second.claim(recording, factories.make_recipe("raw_media"), facts):
                raise AssertionError("it never got its turn")

        waits = waiting.submit(wait)
        while not held_up(database):
            pass
        RecordingDeletion(database).delete([factories.add_recording(database).id])
        erase(database.url)
        with pytest.raises(DatabaseUnavailable, match="cancel"):
            waits.result(30)
    for worker in (first, second):
        worker.results.close()


def held_up(database: Database) -> bool:
    row = database.row(
        b"select count(*) as waiting from pg_stat_activity"
        b" where datname = current_database() and wait_event = 'advisory'"
    )
    return row is not None and row["waiting"] > 0
