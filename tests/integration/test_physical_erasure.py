"""Physical erasure: the bytes of deleted rows are removed without blocking anybody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from playhead.core.errors import DatabaseUnavailable
from playhead.postgres.database import Database
from playhead.postgres.deletion.physical_erasure import RowsStillVisible, erase
from playhead.postgres.deletion.rows import RecordingDeletion
from tests.support import factories
from tests.support.factories import PipelineDriver

_INDEXES = "select indexdef from pg_indexes where schemaname = 'public' order by indexname"


def test_erasure_keeps_every_index(database: Database, worker: PipelineDriver) -> None:
    worker.run_all_stages(factories.add_recording(database))
    with psycopg.connect(database.url) as connection:
        before = connection.execute(_INDEXES).fetchall()
    erase(database.url)
    with psycopg.connect(database.url) as connection:
        assert connection.execute(_INDEXES).fetchall() == before


def test_erasure_is_not_finished_while_a_transaction_sees_the_rows(database: Database) -> None:
    recording = factories.add_recording(database)
    with psycopg.connect(database.url) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        RecordingDeletion(database).delete([recording.id])
        with pytest.raises(RowsStillVisible, match="still visible to"):
            erase(database.url, lock_timeout_seconds=0.2)
    erase(database.url)


def test_erasure_does_not_block_queries_on_a_busy_table(database: Database) -> None:
    with psycopg.connect(database.url) as user, psycopg.connect(database.url) as searcher:
        user.execute("select count(*) from chunks")
        searcher.execute("set statement_timeout = '5s'")
        with pytest.raises(RowsStillVisible, match="uses a table for too long"):
            erase(database.url, lock_timeout_seconds=0.2)
        searcher.execute("select count(*) from chunks")


def test_erasure_cancels_a_worker_that_waits_for_a_claim(database: Database) -> None:
    """Cancel a claim, which may wait for hours for another worker's transcription."""
    recording = factories.add_recording(database)
    first, second = PipelineDriver(database), PipelineDriver(database)
    facts = {"sha256": recording.sha256}
    with (
        ThreadPoolExecutor(1) as pool,
        first.claim(recording, factories.make_recipe("raw_media"), facts),
    ):

        def wait() -> None:
            with second.claim(recording, factories.make_recipe("raw_media"), facts):
                raise AssertionError("the claim must not be granted")

        future = pool.submit(wait)
        while not is_waiting(database):
            pass
        RecordingDeletion(database).delete([factories.add_recording(database).id])
        erase(database.url)
        with pytest.raises(DatabaseUnavailable, match="cancel"):
            future.result(30)
    for worker in (first, second):
        worker.results.close()


def is_waiting(database: Database) -> bool:
    row = database.row(
        b"select count(*) as waiting from pg_stat_activity"
        b" where datname = current_database() and wait_event = 'advisory'"
    )
    return row is not None and row["waiting"] > 0
