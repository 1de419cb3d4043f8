"""Sets of vectors side by side: nothing half-built is searched, nothing mixed, nothing lost."""

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
def other(database: Database) -> PipelineDriver:
    """Works for a second model of other dimensions."""
    return PipelineDriver(database, "run-2", OTHER_MODEL, dimensions=5)


def embed_for(other: PipelineDriver, recording: Recording) -> None:
    other.chunk(recording, make_chunks("one", "two"))
    other.embed(recording)


def test_the_first_set_is_searched_at_once_and_the_next_is_not(
    worker: PipelineDriver, other: PipelineDriver, sets: EmbeddingSets
) -> None:
    first, second = worker.set_id, other.set_id
    assert [(embedding_set.id, embedding_set.state) for embedding_set in sets.live()] == [
        (first, "active"),
        (second, "building"),
    ]
    assert worker.set_id == first, "the same model is the same set"


def test_two_models_of_different_dimensions_stand_side_by_side(
    worker: PipelineDriver, other: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording)
    embed_for(other, recording)
    lengths = database.rows(b"select distinct vector_dims(vector) as n from embeddings order by n")
    assert [row["n"] for row in lengths] == [3, 5]


def test_the_vectors_of_one_model_cannot_stand_in_the_set_of_another(
    worker: PipelineDriver, other: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.run(
            b"insert into embeddings select %(other)s, org_id, chunk_id, result_id, vector"
            b" from embeddings",
            other=other.set_id,
        )


def test_a_half_built_set_is_never_searched(
    worker: PipelineDriver, other: PipelineDriver, database: Database, sets: EmbeddingSets
) -> None:
    built, missing = factories.add_recording(database), factories.add_recording(database)
    for recording in (built, missing):
        worker.run_all_stages(recording)
    embed_for(other, built)
    with pytest.raises(SetIncomplete, match="lacks 1 recordings"):
        sets.activate(sets.get(other.set_id))
    assert sets.active() == sets.get(worker.set_id)
    embed_for(other, missing)
    sets.activate(sets.get(other.set_id))
    assert sets.active() == sets.get(other.set_id)


def test_a_recording_that_changed_since_is_missing_again(
    worker: PipelineDriver, other: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    embed_for(other, recording)
    assert sets.progress(sets.get(other.set_id)).lacking == 0
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    worker.write(recording)
    worker.chunk(recording, make_chunks("one", "three"))
    worker.embed(recording)
    assert sets.progress(sets.get(other.set_id)).lacking == 1


def test_going_back_is_as_quick_as_going_and_loses_nothing(
    worker: PipelineDriver,
    other: PipelineDriver,
    recording: Recording,
    sets: EmbeddingSets,
    recordings: Recordings,
) -> None:
    worker.run_all_stages(recording)
    embed_for(other, recording)
    for searched in (other.set_id, worker.set_id, other.set_id):
        sets.activate(sets.get(searched))
        assert [
            embedding_set.id for embedding_set in sets.live() if embedding_set.state == "active"
        ] == [searched]
        assert factories.get_status(recordings, recording).status == "ready"


def test_a_recording_that_arrived_before_the_switch_and_ends_after_is_made_for_both(
    worker: PipelineDriver,
    other: PipelineDriver,
    database: Database,
    sets: EmbeddingSets,
    recordings: Recordings,
) -> None:
    early, late = factories.add_recording(database), factories.add_recording(database)
    worker.run_all_stages(early)
    embed_for(other, early)
    for step in (worker.probe, worker.transcribe, worker.write):
        step(late)
    worker.chunk(late, make_chunks("one", "two"))
    sets.activate(sets.get(other.set_id))
    worker.embed(late)
    assert recordings.pending(limit=9) == [late], "the set that is searched now lacks it"
    embed_for(other, late)
    assert recordings.pending(limit=9) == []


def test_a_retired_set_leaves_no_vectors_and_can_be_built_again_without_a_call(
    worker: PipelineDriver,
    other: PipelineDriver,
    recording: Recording,
    sets: EmbeddingSets,
    database: Database,
) -> None:
    worker.run_all_stages(recording)
    embed_for(other, recording)
    sets.retire(sets.get(other.set_id))
    tables = database.rows(
        b"select from pg_class where relname like 'embeddings_set%%' and relkind = 'r'"
    )
    assert len(tables) == 1
    assert other.set_id in {
        embedding_set.id for embedding_set in sets.all() if embedding_set.state == "building"
    }
    embed_for(other, recording)
    assert sets.progress(sets.get(other.set_id)).lacking == 0
    assert sorted(other.embedded_texts) == ["one", "two"]


def test_the_set_that_is_searched_cannot_be_retired(
    worker: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    with pytest.raises(InvalidSetState, match="active"):
        sets.retire(sets.get(worker.set_id))


def test_a_retired_set_cannot_be_searched(
    worker: PipelineDriver, other: PipelineDriver, recording: Recording, sets: EmbeddingSets
) -> None:
    worker.run_all_stages(recording)
    embed_for(other, recording)
    retired = sets.get(other.set_id)
    sets.retire(retired)
    with pytest.raises((SetIncomplete, InvalidSetState)):
        sets.activate(retired)


def test_an_unknown_set_says_so(sets: EmbeddingSets) -> None:
    with pytest.raises(NotFound):
        sets.get(99)


def test_however_many_ask_at_once_a_text_is_embedded_by_one(
    worker: PipelineDriver, database: Database
) -> None:
    workers = [PipelineDriver(database, f"run-{number}") for number in range(4)]
    set_id, start, held = worker.set_id, Barrier(4), []

    def ask(driver: PipelineDriver) -> None:
        start.wait()
        with driver.results.lock_texts("default", set_id, ["b", "a"]):
            held.append("in")
            assert held.count("in") == held.count("out") + 1
            held.append("out")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, workers))
    assert held == ["in", "out"] * 4
    for each in workers:
        each.results.close()


def test_among_many_passages_the_index_finds_what_an_exact_scan_finds(
    database: Database, recording: Recording
) -> None:
    worker = PipelineDriver(database, dimensions=24)
    database.run(
        b"create or replace function max_exact_vectors(dimensions integer) returns integer"
        b" language sql immutable as 'select 2000'"  # so that few are many
    )
    worker.run_all_stages(recording, [f"passage {number}" for number in range(2_100)])
    [searched] = worker.sets.live()
    VectorIndexes(database).maintain()
    searches, found = ChunkSearch(database), 0
    for question in unit_vectors([f"question {number}" for number in range(20)], 24):
        near = searches.nearest(question, searched, org_id=recording.org_id, limit=10)
        exactly = searches.nearest_exact(question, searched, org_id=recording.org_id, limit=10)
        assert [row["distance"] for row in near] == sorted(row["distance"] for row in near)
        distances = {row["start_seconds"]: row["distance"] for row in exactly}
        same = [row for row in near if row["start_seconds"] in distances]
        assert all(row["distance"] == distances[row["start_seconds"]] for row in same)
        found += len(same)
    assert found >= 0.99 * 20 * 10
    [index] = VectorIndexes(database).index_states(searched)
    scans = f"select pg_stat_get_xact_numscans('{index.name}'::regclass)"
    with database.transaction() as connection:
        before = connection.execute(scans.encode()).fetchall()
        set_org(connection, recording.org_id, "playhead_app")
        values = {"set": searched.id, "question": question}
        connection.execute(b"select * from nearest(%(set)s, %(question)s, null, 10)", values)
        assert connection.execute(scans.encode()).fetchall() != before
