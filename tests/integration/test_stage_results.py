"""Stage results: created once per input and recipe, with failures reported once."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from playhead.core.errors import TransientError, UnreadableMedia
from playhead.core.records import Cost, Recording
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.pipeline.stage_results import MAX_ATTEMPTS, MAX_REQUESTS, Claim
from tests.support import factories
from tests.support.factories import PipelineDriver, count_rows, get_status

INPUTS = {"raw_media": "media 1", "language": None}
RECIPE = factories.make_recipe("transcript")
DAMAGED = UnreadableMedia("Nothing can be decoded.", remedy="Export it again.")
BUSY = TransientError("The model is busy.", remedy="Wait.")


@pytest.fixture
def recording(probed: Recording) -> Recording:
    return probed


def claim_transcript(worker: PipelineDriver, recording: Recording) -> AbstractContextManager[Claim]:
    return worker.claim(recording, RECIPE, INPUTS)


# Once


def test_result_is_created_once_per_input_and_recipe(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    assert worker.transcribe(recording)
    result = worker.current(recording, "transcript")
    assert not PipelineDriver(database, "run-2").transcribe(recording)
    assert worker.current(recording, "transcript") == result
    assert count_rows(database, b"stage_results where stage = 'transcript'") == 1


def test_claim_ignores_the_order_of_inputs(worker: PipelineDriver, recording: Recording) -> None:
    worker.transcribe(recording)
    backwards = {"language": None, "raw_media": "media 1"}
    with worker.claim(recording, RECIPE, backwards) as claim:
        assert claim.done is not None


def test_new_recipe_creates_a_second_result_that_becomes_current(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    before = worker.current(recording, "transcript")
    assert worker.transcribe(recording, factories.make_transcript("as heard now"), version="2")
    assert worker.output(recording, "transcript") == "as heard now"
    assert before is not None
    assert worker.content.transcript(recording, before.id).text == "as heard before"


def test_old_result_is_current_while_the_new_one_is_created(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    with worker.claim(recording, factories.make_recipe("transcript", "2"), INPUTS):
        assert worker.output(recording, "transcript") == "as heard before"


def test_old_recipe_makes_its_stored_result_current_again(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    worker.transcribe(recording, factories.make_transcript("as heard now"), version="2")
    assert not worker.transcribe(recording, version="1")
    assert worker.output(recording, "transcript") == "as heard before"


def test_result_of_another_input_is_pending_again(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    worker.run_all_stages(recording)
    assert recordings.pending(limit=9) == []
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    assert recordings.pending(limit=9) == [recording]
    worker.transcribe(recording, version="1")
    assert recordings.pending(limit=9) == []


def test_old_recipe_creates_deleted_chunks_again(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    worker.write(recording)
    worker.chunk(recording, factories.make_chunks("other"))
    worker.embed(recording)
    worker.transcribe(recording, version="1")
    worker.write(recording)
    assert worker.chunk(recording, factories.make_chunks("one", "two"))
    assert worker.embed(recording)
    found = worker.content.chunks(recording, factories.CHUNK_RECIPE.hash)
    assert [row["text"] for row in found] == ["one", "two"]
    assert count_rows(database, b"embeddings") == 2


def test_embeddings_deleted_with_their_chunks_are_not_reused(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    """Check that chunks get new vectors after another version of the stage ran in between."""
    worker.run_all_stages(recording, ["one", "two"])
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    worker.write(recording)
    worker.chunk(recording, factories.make_chunks("other"))
    worker.embed(recording, version="2")
    worker.transcribe(recording, version="1")
    worker.write(recording)
    worker.chunk(recording, factories.make_chunks("one", "two"))
    worker.embed(recording, version="1")
    assert count_rows(database, b"embeddings") == 2


def test_correction_undone_before_embedding_leaves_no_chunk_without_vector(
    worker: PipelineDriver, recording: Recording, database: Database, recordings: Recordings
) -> None:
    worker.run_all_stages(recording, ["one", "two"])
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    worker.write(recording)
    worker.chunk(recording, factories.make_chunks("other"))
    worker.transcribe(recording, version="1")
    worker.write(recording)
    worker.chunk(recording, factories.make_chunks("one", "two"))
    assert recordings.pending(limit=9) == [recording]
    worker.embed(recording)
    assert count_rows(database, b"embeddings") == 2
    assert recordings.pending(limit=9) == []


# Failing


def test_final_failure_writes_a_dead_letter_with_the_reason(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        worker.results.fail(claim, DAMAGED, final=True)
    (letter,) = recordings.dead_letters()
    assert (letter.id, letter.org_id, letter.stage) == (recording.id, "default", "transcript")
    assert (letter.error_class, letter.attempts) == ("UnreadableMedia", 1)
    assert (letter.message, letter.remedy) == ("Nothing can be decoded.", "Export it again.")


def test_failure_with_unstorable_characters_is_stored(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        odd = UnreadableMedia("Read \x00 and \udcff.", remedy="Export it again.")
        worker.results.fail(claim, odd, final=True)
    assert recordings.dead_letters()[0].message == "Read \ufffd and \ufffd."


def test_retryable_failure_writes_no_dead_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        worker.results.fail(claim, BUSY, final=False)
    assert recordings.dead_letters() == []
    assert recordings.pending(limit=9) == [recording]
    with claim_transcript(worker, recording) as claim:
        assert claim.attempt == 2


def test_repeated_final_failure_keeps_one_dead_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(2):
        with claim_transcript(worker, recording) as claim:
            worker.results.fail(claim, DAMAGED, final=True)
    assert len(recordings.dead_letters()) == 1


def test_success_closes_the_dead_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        worker.results.fail(claim, BUSY, final=True)
    worker.transcribe(recording)
    assert recordings.dead_letters() == []
    assert get_status(recordings, recording).status == "transcribed"


def test_retry_resumes_at_the_failed_stage(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        worker.results.fail(claim, DAMAGED, final=True)
    assert recordings.pending(limit=9) == []
    assert recordings.requeue("default", [recording.id]) == [(recording.id, "transcript")]
    assert recordings.pending(limit=9) == [recording]
    assert not worker.probe(recording), "the good stage stays"
    with claim_transcript(worker, recording) as claim:
        assert (claim.done, claim.attempt) == (None, 2)


def test_result_that_crashes_its_workers_is_dead_lettered(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(MAX_ATTEMPTS - 1):
        with claim_transcript(worker, recording):
            pass  # neither finished nor failed, like a worker that died
    assert worker.results.dead_letter_crashed() == 0
    with claim_transcript(worker, recording):
        assert worker.results.dead_letter_crashed() == 0, "the last one is still alive"
    assert worker.results.dead_letter_crashed() == 1
    (letter,) = recordings.dead_letters()
    assert (letter.error_class, letter.attempts) == ("WorkerDied", MAX_ATTEMPTS)
    assert recording.id in letter.remedy
    assert recordings.pending(limit=9) == []
    assert worker.results.dead_letter_crashed() == 0


def test_recording_without_progress_in_many_runs_is_dead_lettered(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    def dead_letter() -> int:
        return worker.results.dead_letter_stalled(
            [recording.id], run_id="run-6", message="Out of memory."
        )

    for _ in range(MAX_REQUESTS - 1):
        recordings.mark_requested([recording.id])
    assert dead_letter() == 0
    recordings.mark_requested([recording.id])
    with claim_transcript(worker, recording):
        assert dead_letter() == 0, "a living worker has it"
    assert dead_letter() == 1
    (letter,) = recordings.dead_letters()
    assert (letter.stage, letter.error_class) == ("transcript", "RunFailed")
    assert (letter.message, letter.attempts) == ("Out of memory.", MAX_REQUESTS)
    assert dead_letter() == 0
    recordings.requeue("default", [recording.id])
    assert dead_letter() == 0, "a retry starts counting anew"


def test_finished_stage_resets_the_count_of_runs(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(MAX_REQUESTS):
        recordings.mark_requested([recording.id])
    worker.transcribe(recording)
    assert worker.results.dead_letter_stalled([recording.id], run_id="run", message="Down.") == 0


# Progress and lineage


def test_progress_is_visible_to_others(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim_transcript(worker, recording) as claim:
        worker.results.progress([claim], 50, "transcribed 0:05 of 0:10")
        halfway = get_status(recordings, recording)
        assert (halfway.status, halfway.detail) == ("transcribing", "transcribed 0:05 of 0:10")
        before = halfway.percent
    with claim_transcript(worker, recording):
        assert get_status(recordings, recording).percent < before, "the next attempt starts over"


def test_lineage_lists_the_results_in_stage_order(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording)
    media, transcript = worker.results.lineage(recording)
    assert (media["stage"], transcript["stage"]) == ("raw_media", "transcript")
    assert media["inputs"] == {"sha256": recording.sha256}
    assert transcript["inputs"] == {"raw_media": media["output_hash"], "language": None}
    assert transcript["recipe"] == RECIPE.as_json
    assert (transcript["run_id"], transcript["attempt"]) == ("run-1", 1)


def test_result_stores_its_usage(worker: PipelineDriver, recording: Recording) -> None:
    with (
        claim_transcript(worker, recording) as claim,
        worker.results.finish(claim, output_hash="heard", usage=Cost(1200, 0.0015)),
    ):
        pass
    result = worker.current(recording, "transcript")
    assert result is not None
    assert (result.tokens, result.cost_usd) == (1200, 0.0015)
