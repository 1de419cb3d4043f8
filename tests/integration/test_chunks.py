"""Stored chunks and vectors: only changed ones are written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playhead.core.errors import ClaimLost, InvalidEngineOutput
from playhead.core.records import Chunk, Engine, Recipe, Recording, SearchFilter
from playhead.postgres.database import Database
from playhead.postgres.pipeline.content import EmbeddingWrite
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.search.chunk_search import ChunkSearch
from tests.support import factories
from tests.support.factories import CHUNK_RECIPE, PipelineDriver, make_chunks

OTHER_MODEL = Engine("vectors by hash", "b")
OTHER_RECIPE = Recipe("chunks", "1", Engine("chunker", "b"))


def rewrite(
    worker: PipelineDriver,
    recording: Recording,
    chunks: Sequence[Chunk],
    recipe: Recipe = CHUNK_RECIPE,
) -> None:
    """Chunk the recording again after its text changed."""
    changed = factories.make_transcript(
        f"version {len(worker.results.lineage(recording))} {chunks}"
    )
    worker.probe(recording)
    worker.transcribe(recording, changed, version=str(hash(changed)))
    worker.write(recording)
    worker.chunk(recording, chunks, recipe)


def chunk_ids(
    worker: PipelineDriver, recording: Recording, recipe: Recipe = CHUNK_RECIPE
) -> list[tuple[str, UUID]]:
    """Return the text and id of every chunk, in order."""
    rows = worker.content.chunks(recording, recipe.hash)
    return [(row["text"], row["id"]) for row in rows]


def vectors(database: Database) -> dict[UUID, tuple[int, list[float]]]:
    """Return the result and vector by chunk."""
    rows = database.rows(b"select chunk_id, result_id, vector from embeddings")
    return {row["chunk_id"]: (row["result_id"], row["vector"].to_list()) for row in rows}


# Chunks


def test_changed_chunk_keeps_the_ids_and_vectors_of_the_others(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["first", "second", "third"])
    before, vectors_before = dict(chunk_ids(worker, recording)), vectors(database)
    rewrite(worker, recording, make_chunks("first", "the second, longer", "third"))
    worker.embed(recording)
    after, vectors_after = dict(chunk_ids(worker, recording)), vectors(database)
    assert list(after) == ["first", "the second, longer", "third"]
    for text in ("first", "third"):
        assert after[text] == before[text]
        assert vectors_after[after[text]] == vectors_before[before[text]]
    assert before["second"] not in vectors_after
    assert worker.embedded_texts[3:] == ["the second, longer"]


def test_moved_chunks_keep_their_ids_and_get_new_positions(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    before = dict(chunk_ids(worker, recording))
    moved = make_chunks("zero", "one", "two")
    rewrite(worker, recording, moved)
    rows = worker.content.chunks(recording, CHUNK_RECIPE.hash)
    for row, chunk in zip(rows, moved, strict=True):
        assert row["id"] == before.get(chunk.text, row["id"])
        for place in ("ordinal", "char_start", "char_end", "start_seconds", "end_seconds"):
            assert row[place] == getattr(chunk, place)


def test_moved_chunks_need_no_new_vectors(worker: PipelineDriver, recording: Recording) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    rewrite(worker, recording, make_chunks("two", "one"))
    assert not worker.embed(recording)
    assert sorted(worker.embedded_texts) == ["one", "two"]


def test_repeated_text_is_two_chunks(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["yes", "no", "yes"])
    assert [text for text, _ in chunk_ids(worker, recording)] == ["yes", "no", "yes"]
    assert len(vectors(database)) == 3
    assert sorted(worker.embedded_texts) == ["no", "yes"]
    rewrite(worker, recording, make_chunks("yes", "no"))
    worker.embed(recording)
    assert [text for text, _ in chunk_ids(worker, recording)] == ["yes", "no"]
    assert len(vectors(database)) == 2


def test_equal_spoken_and_written_text_is_two_chunks(
    worker: PipelineDriver, recording: Recording
) -> None:
    rewrite(worker, recording, [*make_chunks("same"), *make_chunks("same", source="document")])
    rows = worker.content.chunks(recording, CHUNK_RECIPE.hash)
    assert [row["source"] for row in rows] == ["transcript", "document"]


def test_spoken_chunk_is_found_before_an_equal_written_one(
    worker: PipelineDriver, database: Database
) -> None:
    search, question = (
        ChunkSearch(database),
        factories.unit_vectors(["the same"], worker.dimensions)[0],
    )
    for _ in range(8):  # ids are random, so a single pair may be in order by chance
        recording = factories.add_recording(database)
        chunks = [*make_chunks("the same"), *make_chunks("the same", source="document")]
        rewrite(worker, recording, chunks)
        worker.embed(recording)
        [searched_set] = worker.sets.live()
        found = search.find(
            "same",
            question,
            searched_set,
            org_id=recording.org_id,
            filters=SearchFilter(recordings=(recording.id,)),
            limit=10,
        )
        assert [match.source for match in found] == ["transcript", "document"]


def test_changed_language_updates_the_search_index_of_chunks(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    rewrite(worker, recording, make_chunks("les chevaux"))
    inputs = {"transcript": "now in French", "document": "now in French"}
    with worker.claim(recording, CHUNK_RECIPE, inputs, [worker.set_id]) as claim:
        worker.store_chunks(claim, make_chunks("les chevaux"), language="fr")
    (row,) = database.rows(b"select words @@ to_tsquery('french', 'cheval') as found from chunks")
    assert row["found"]


def test_no_chunks_are_a_valid_result(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, [])
    assert Recordings(database).statuses("default")[0].status == "ready"
    rewrite(worker, recording, make_chunks("now something"))
    rewrite(worker, recording, [])
    assert chunk_ids(worker, recording) == []


def test_chunks_of_other_recordings_are_unchanged(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    other = factories.add_recording(database)
    worker.run_all_stages(recording, ["shared", "own"])
    worker.run_all_stages(other, ["shared"])
    stored = chunk_ids(worker, recording)
    rewrite(worker, other, make_chunks("different"))
    worker.embed(other)
    assert chunk_ids(worker, recording) == stored


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=st.lists(st.lists(st.sampled_from("abcde"), max_size=6), min_size=2, max_size=4))
def test_chunks_match_any_edits_and_unchanged_ones_keep_their_ids(
    worker: PipelineDriver, database: Database, edits: list[list[str]]
) -> None:
    recording = factories.add_recording(database)
    before: list[tuple[str, UUID]] = []
    for texts in edits:
        rewrite(worker, recording, make_chunks(*texts))
        worker.embed(recording)
        after = chunk_ids(worker, recording)
        assert [text for text, _ in after] == texts
        stored = set(before) & set(after)
        for text in set(texts):
            times_before = sum(old == text for old, _ in before)
            assert sum(old == text for old, _ in stored) == min(times_before, texts.count(text))
        before = after


# Vectors


def test_text_is_embedded_once_even_if_the_worker_dies(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    rewrite(worker, recording, make_chunks("one", "two"))
    set_id = worker.set_id
    worker.fill_cache(recording, CHUNK_RECIPE, set_id, 3)  # the worker dies here
    assert worker.uncached(recording, CHUNK_RECIPE, set_id) == {}
    worker.embed(recording)
    assert sorted(worker.embedded_texts) == ["one", "two"]
    assert len(vectors(database)) == 2


def test_vector_of_a_text_is_shared_within_an_organisation(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["shared"])
    worker.run_all_stages(factories.add_recording(database), ["shared"])
    assert worker.embedded_texts == ["shared"]


def test_vector_of_a_text_is_not_shared_between_organisations(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["shared"])
    worker.run_all_stages(factories.add_recording(database, org_id="other"), ["shared"])
    assert worker.embedded_texts == ["shared", "shared"]


def test_missing_vector_is_an_error_and_nothing_is_written(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    rewrite(worker, recording, make_chunks("one", "two"))
    set_id = worker.set_id
    texts = worker.uncached(recording, CHUNK_RECIPE, set_id)
    one_text = dict([next(iter(texts.items()))])
    one_vector = factories.unit_vectors(list(one_text), 3)
    worker.content.cache_vectors(recording.org_id, set_id, one_text, one_vector)
    chunks = worker.current(recording, "chunks", set_id)
    assert chunks is not None
    with (
        worker.claim(recording, factories.make_recipe("embeddings"), {}, [set_id]) as claim,
        pytest.raises(InvalidEngineOutput, match="1 chunks have no vector") as raised,
        worker.results.finish(claim, output_hash="vectors") as (to, result),
    ):
        worker.content.put_embeddings(to, [EmbeddingWrite(recording, result, chunks)], set_id)
    assert recording.id in raised.value.remedy
    assert vectors(database) == {}
    assert worker.current(recording, "embeddings", set_id) is None


def test_vectors_of_the_wrong_length_are_rejected(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    rewrite(worker, recording, make_chunks("one"))
    worker.dimensions = 4
    with pytest.raises(InvalidEngineOutput):
        worker.embed(recording)
    assert vectors(database) == {}
    worker.dimensions = 3
    assert worker.embed(recording)
    assert len(vectors(database)) == 1


def test_embedding_set_is_created_once_by_concurrent_workers(
    worker: PipelineDriver,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        set_ids = list(pool.map(lambda _: worker.set_id, range(4)))
    assert set_ids == [set_ids[0]] * 4


def test_chunks_replaced_during_embedding_are_left_to_the_newer_run(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    rewrite(worker, recording, make_chunks("one", "three"))
    old = worker.current(recording, "chunks", worker.set_id)
    assert old is not None
    recipe, set_id = factories.make_recipe("embeddings"), worker.set_id
    with worker.claim(recording, recipe, {}, [set_id]) as claim:
        rewrite(PipelineDriver(database, "newer"), recording, make_chunks("one", "four"))
        with (
            pytest.raises(ClaimLost),
            worker.results.finish(claim, output_hash="late") as (to, result),
        ):
            worker.content.put_embeddings(to, [EmbeddingWrite(recording, result, old)], set_id)
    assert len(vectors(database)) == 2


def test_chunks_stay_searchable_until_the_new_vectors_are_stored(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    before = vectors(database)
    rewrite(worker, recording, make_chunks("one", "three"))
    assert vectors(database) == before
    worker.embed(recording)
    texts = database.rows(b"select text from chunks join embeddings on chunk_id = id order by text")
    assert [row["text"] for row in texts] == ["one", "three"]


# Another recipe


def test_chunks_of_the_old_recipe_stay_until_the_new_ones_are_embedded(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    before_chunks = chunk_ids(worker, recording)
    before = vectors(database)
    worker.chunk(recording, make_chunks("one two"), OTHER_RECIPE)
    assert chunk_ids(worker, recording) == before_chunks
    assert vectors(database) == before
    worker.embed(recording, OTHER_RECIPE)
    assert chunk_ids(worker, recording) == []
    assert [text for text, _ in chunk_ids(worker, recording, OTHER_RECIPE)] == ["one two"]
    assert len(vectors(database)) == 1


def test_chunks_stay_while_another_embedding_set_needs_them(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    other = PipelineDriver(database, model=OTHER_MODEL, dimensions=5)
    other.chunk(recording, make_chunks("one two"), OTHER_RECIPE)
    other.embed(recording, OTHER_RECIPE)
    assert [text for text, _ in chunk_ids(worker, recording)] == ["one", "two"]
    worker.chunk(recording, make_chunks("one two"), OTHER_RECIPE)
    worker.embed(recording, OTHER_RECIPE)
    assert chunk_ids(worker, recording) == []


def test_old_recipe_restores_deleted_chunks_from_the_cache(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    worker.chunk(recording, make_chunks("one two"), OTHER_RECIPE)
    worker.embed(recording, OTHER_RECIPE, version="2")
    assert worker.chunk(recording, make_chunks("one", "two"))
    worker.embed(recording, version="1")
    assert len(vectors(database)) == 2
    assert sorted(worker.embedded_texts) == ["one", "one two", "two"], "vectors came from the cache"
