"""Embedding sets side by side: none is searched before it is complete, and none is mixed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from playhead.core.errors import NotFound
from playhead.core.records import Engine, Recording
from playhead.postgres.database import Database, set_org
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.embedding_sets import EmbeddingSets, InvalidSetState, SetIncomplete
from playhead.postgres.search.vector_indexes import VectorIndexes
from tests.support import factories
from tests.support.factories import PipelineDriver, make_chunks, unit_vectors

OTHER_MODEL = Engine("vectors by hash", "b")


@pytest.fixture
def sets(database: Database) -> EmbeddingSets:
    return EmbeddingSets(database)


@pytest.fixture
def other_worker(database: Database) -> PipelineDriver:
    """Return a driver for a second model of other dimensions."""
    return PipelineDriver(database, "run-2", OTHER_MODEL, dimensions=5)


def embed_with(other_worker: PipelineDriver, recording: Recording) -> None:
    other_worker.chunk(recording, make_chunks("one", "two"))
    other_worker.embed(recording)


def test_first_embedding_set_is_active_at_once_and_the_next_is_not(
    worker: PipelineDriver, other_worker: PipelineDriver, sets: EmbeddingSets
) -> None:
    first, second = worker.set_id, other_worker.set_id
    assert [(embedding_set.id, embedding_set.state) for embedding_set in sets.live()] == [
        (first, "active"),
        (second, "building"),
    ]
    assert worker.set_id == first, "the same model is the same set"


def test_embedding_sets_of_different_dimensions_exist_side_by_side(
    worker: PipelineDriver, other_worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording)
    embed_with(other_worker, recording)
    lengths = database.rows(b"select distinct vector_dims(vector) as n from embeddings order by n")
    assert [row["n"] for row in lengths] == [3, 5]


def test_vectors_of_another_model_are_rejected_by_the_set(
    worker: PipelineDriver, other_worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.run(
            b"insert into embeddings select %(other_worker)s, org_id, chunk_id, result_id, vector"
            b" from embeddings",
            other_worker=other_worker.set_id,
        )


def test_incomplete_embedding_set_cannot_be_activated(
    worker: PipelineDriver, other_worker: PipelineDriver, database: Database, sets: EmbeddingSets
) -> None:
    built, missing = factories.add_recording(database), factories.add_recording(database)
    for recording in (built, missing):
        worker.run_all_stages(recording)
    embed_with(other_worker, built)
    with pytest.raises(SetIncomplete, match="lacks 1 recordings"):
        sets.activate(sets.get(other_worker.set_id))
    assert sets.active() == sets.get(worker.set_id)
    embed_with(other_worker, missing)
    sets.activate(sets.get(other_worker.set_id))
    assert sets.active() == sets.get(other_worker.set_id)


def test_changed_recording_is_missing_again_in_the_other_set(
    worker: PipelineDriver, other_worker: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    embed_with(other_worker, recording)
    assert sets.progress(sets.get(other_worker.set_id)).lacking == 0
    worker.transcribe(recording, factories.make_transcript("other_worker words"), version="2")
    worker.write(recording)
    worker.chunk(recording, make_chunks("one", "three"))
    worker.embed(recording)
    assert sets.progress(sets.get(other_worker.set_id)).lacking == 1


def test_embedding_sets_can_be_switched_back_without_loss(
    worker: PipelineDriver,
    other_worker: PipelineDriver,
    recording: Recording,
    sets: EmbeddingSets,
    recordings: Recordings,
) -> None:
    worker.run_all_stages(recording)
    embed_with(other_worker, recording)
    for active_set in (other_worker.set_id, worker.set_id, other_worker.set_id):
        sets.activate(sets.get(active_set))
        assert [
            embedding_set.id for embedding_set in sets.live() if embedding_set.state == "active"
        ] == [active_set]
        assert factories.get_status(recordings, recording).status == "ready"


def test_recording_in_progress_during_a_switch_is_embedded_for_both_sets(
    worker: PipelineDriver,
    other_worker: PipelineDriver,
    database: Database,
    sets: EmbeddingSets,
    recordings: Recordings,
) -> None:
    early, late = factories.add_recording(database), factories.add_recording(database)
    worker.run_all_stages(early)
    embed_with(other_worker, early)
    for step in (worker.probe, worker.transcribe, worker.write):
        step(late)
    worker.chunk(late, make_chunks("one", "two"))
    sets.activate(sets.get(other_worker.set_id))
    worker.embed(late)
    assert recordings.pending(limit=9) == [late], "the set that is searched now lacks it"
    embed_with(other_worker, late)
    assert recordings.pending(limit=9) == []


def test_retired_embedding_set_is_deleted_and_rebuilt_without_a_call(
    worker: PipelineDriver,
    other_worker: PipelineDriver,
    recording: Recording,
    sets: EmbeddingSets,
    database: Database,
) -> None:
    worker.run_all_stages(recording)
    embed_with(other_worker, recording)
    sets.retire(sets.get(other_worker.set_id))
    tables = database.rows(
        b"select from pg_class where relname like 'embeddings_set%%' and relkind = 'r'"
    )
    assert len(tables) == 1
    assert other_worker.set_id in {
        embedding_set.id for embedding_set in sets.all() if embedding_set.state == "building"
    }
    embed_with(other_worker, recording)
    assert sets.progress(sets.get(other_worker.set_id)).lacking == 0
    assert sorted(other_worker.embedded_texts) == ["one", "two"]


def test_active_embedding_set_cannot_be_retired(
    worker: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    with pytest.raises(InvalidSetState, match="active"):
        sets.retire(sets.get(worker.set_id))


def test_retired_embedding_set_cannot_be_activated(
    worker: PipelineDriver, other_worker: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    embed_with(other_worker, recording)
    retired = sets.get(other_worker.set_id)
    sets.retire(retired)
    with pytest.raises((SetIncomplete, InvalidSetState)):
        sets.activate(retired)


def test_unknown_embedding_set_is_not_found(sets: EmbeddingSets) -> None:
    with pytest.raises(NotFound):
        sets.get(99)


def test_text_is_embedded_by_one_of_many_concurrent_workers(
    worker: PipelineDriver, database: Database
) -> None:
    workers = [PipelineDriver(database, f"run-{number}") for number in range(4)]
    set_id, start, events = worker.set_id, Barrier(4), []

    def lock_texts(driver: PipelineDriver) -> None:
        start.wait()
        with driver.results.lock_texts("default", set_id, ["b", "a"]):
            events.append("in")
            assert events.count("in") == events.count("out") + 1
            events.append("out")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lock_texts, workers))
    assert events == ["in", "out"] * 4
    for used_driver in workers:
        used_driver.results.close()


def test_vector_index_finds_what_an_exact_scan_finds(
    database: Database, recording: Recording
) -> None:
    worker = PipelineDriver(database, dimensions=24)
    database.run(
        b"create or replace function max_exact_vectors(dimensions integer) returns integer"
        b" language sql immutable as 'select 2000'"  # so that 2,100 vectors need an index
    )
    worker.run_all_stages(recording, [f"passage {number}" for number in range(2_100)])
    [active_set] = worker.sets.live()
    VectorIndexes(database).maintain()
    searches, found = ChunkSearch(database), 0
    for question in unit_vectors([f"question {number}" for number in range(20)], 24):
        indexed = searches.nearest(question, active_set, org_id=recording.org_id, limit=10)
        exact = searches.nearest_exact(question, active_set, org_id=recording.org_id, limit=10)
        assert [row["distance"] for row in indexed] == sorted(row["distance"] for row in indexed)
        distances = {row["start_seconds"]: row["distance"] for row in exact}
        same = [row for row in indexed if row["start_seconds"] in distances]
        assert all(row["distance"] == distances[row["start_seconds"]] for row in same)
        found += len(same)
    assert found >= 0.99 * 20 * 10
    [index] = VectorIndexes(database).index_states(active_set)
    scans = f"select pg_stat_get_xact_numscans('{index.name}'::regclass)"
    with database.transaction() as connection:
        before = connection.execute(scans.encode()).fetchall()
        set_org(connection, recording.org_id, "playhead_app")
        values = {"set": active_set.id, "question": question}
        connection.execute(b"select * from nearest(%(set)s, %(question)s, null, 10)", values)
        assert connection.execute(scans.encode()).fetchall() != before
