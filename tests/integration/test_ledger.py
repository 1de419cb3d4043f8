"""What the ledger promises: a result is made once, failures are told once, nothing is hidden."""

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


def claim(worker: PipelineDriver, recording: Recording) -> AbstractContextManager[Claim]:
    return worker.claim(recording, RECIPE, INPUTS)


# Once


def test_the_same_input_and_recipe_is_made_once_and_found_afterwards(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    assert worker.transcribe(recording)
    made = worker.current(recording, "transcript")
    assert not PipelineDriver(database, "run-2").transcribe(recording)
    assert worker.current(recording, "transcript") == made
    assert count_rows(database, b"stage_results where stage = 'transcript'") == 1


def test_the_order_of_the_inputs_does_not_matter(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording)
    backwards = {"language": None, "raw_media": "media 1"}
    with worker.claim(recording, RECIPE, backwards) as mine:
        assert mine.done is not None


def test_another_recipe_makes_a_result_beside_the_old_one_and_readers_see_the_new(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    before = worker.current(recording, "transcript")
    assert worker.transcribe(recording, factories.make_transcript("as heard now"), version="2")
    assert worker.output(recording, "transcript") == "as heard now"
    assert before is not None
    assert worker.content.transcript(recording, before.id).text == "as heard before"


def test_readers_see_the_old_result_while_the_new_one_is_made(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    with worker.claim(recording, factories.make_recipe("transcript", "2"), INPUTS):
        assert worker.output(recording, "transcript") == "as heard before"


def test_going_back_to_an_old_recipe_finds_its_result_and_shows_it_again(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording, factories.make_transcript("as heard before"))
    worker.transcribe(recording, factories.make_transcript("as heard now"), version="2")
    assert not worker.transcribe(recording, version="1")
    assert worker.output(recording, "transcript") == "as heard before"


def test_what_stands_on_another_input_waits_to_be_made_again(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    worker.run_all_stages(recording)
    assert recordings.pending(limit=9) == []
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    assert recordings.pending(limit=9) == [recording]
    worker.transcribe(recording, version="1")
    assert recordings.pending(limit=9) == []


def test_going_back_to_chunks_that_are_gone_makes_them_again(
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


def test_vectors_that_went_with_their_chunks_are_never_taken_for_done(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    """Also when another version of the embedding stage has been at work in between."""
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


def test_an_edit_undone_before_its_chunks_were_embedded_leaves_no_chunk_without_a_vector(
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


def test_a_final_failure_writes_one_letter_with_everything_a_person_needs(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        worker.results.fail(mine, DAMAGED, final=True)
    (letter,) = recordings.dead_letters()
    assert (letter.id, letter.org_id, letter.stage) == (recording.id, "default", "transcript")
    assert (letter.error_class, letter.attempts) == ("UnreadableMedia", 1)
    assert (letter.message, letter.remedy) == ("Nothing can be decoded.", "Export it again.")


def test_a_reason_that_postgres_cannot_hold_is_stored_all_the_same(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        odd = UnreadableMedia("Read \x00 and \udcff.", remedy="Export it again.")
        worker.results.fail(mine, odd, final=True)
    assert recordings.dead_letters()[0].message == "Read \ufffd and \ufffd."


def test_a_failure_that_is_tried_again_writes_no_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        worker.results.fail(mine, BUSY, final=False)
    assert recordings.dead_letters() == []
    assert recordings.pending(limit=9) == [recording]
    with claim(worker, recording) as mine:
        assert mine.attempt == 2


def test_failing_for_good_again_keeps_one_open_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(2):
        with claim(worker, recording) as mine:
            worker.results.fail(mine, DAMAGED, final=True)
    assert len(recordings.dead_letters()) == 1


def test_success_settles_the_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        worker.results.fail(mine, BUSY, final=True)
    worker.transcribe(recording)
    assert recordings.dead_letters() == []
    assert get_status(recordings, recording).status == "transcribed"


def test_retry_takes_a_recording_up_at_the_stage_that_failed(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        worker.results.fail(mine, DAMAGED, final=True)
    assert recordings.pending(limit=9) == []
    assert recordings.requeue("default", [recording.id]) == [(recording.id, "transcript")]
    assert recordings.pending(limit=9) == [recording]
    assert not worker.probe(recording), "the good stage stays"
    with claim(worker, recording) as mine:
        assert (mine.done, mine.attempt) == (None, 2)


def test_a_result_that_kills_its_workers_is_given_up_with_a_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(MAX_ATTEMPTS - 1):
        with claim(worker, recording):
            pass  # neither finished nor failed: as if it had died
    assert worker.results.dead_letter_crashed() == 0
    with claim(worker, recording):
        assert worker.results.dead_letter_crashed() == 0, "the last one is still alive"
    assert worker.results.dead_letter_crashed() == 1
    (letter,) = recordings.dead_letters()
    assert (letter.error_class, letter.attempts) == ("WorkerDied", MAX_ATTEMPTS)
    assert recording.id in letter.remedy
    assert recordings.pending(limit=9) == []
    assert worker.results.dead_letter_crashed() == 0


def test_a_recording_that_many_runs_brought_no_further_gets_a_letter(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    def bury() -> int:
        return worker.results.dead_letter_stalled(
            [recording.id], run_id="run-6", message="Out of memory."
        )

    for _ in range(MAX_REQUESTS - 1):
        recordings.mark_requested([recording.id])
    assert bury() == 0
    recordings.mark_requested([recording.id])
    with claim(worker, recording):
        assert bury() == 0, "a living worker has it"
    assert bury() == 1
    (letter,) = recordings.dead_letters()
    assert (letter.stage, letter.error_class) == ("transcript", "RunFailed")
    assert (letter.message, letter.attempts) == ("Out of memory.", MAX_REQUESTS)
    assert bury() == 0
    recordings.requeue("default", [recording.id])
    assert bury() == 0, "a retry starts counting anew"


def test_a_stage_that_was_finished_starts_the_count_of_runs_anew(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    for _ in range(MAX_REQUESTS):
        recordings.mark_requested([recording.id])
    worker.transcribe(recording)
    assert worker.results.dead_letter_stalled([recording.id], run_id="run", message="Down.") == 0


# Being told


def test_progress_is_seen_by_others_while_the_work_goes_on(
    worker: PipelineDriver, recording: Recording, recordings: Recordings
) -> None:
    with claim(worker, recording) as mine:
        worker.results.progress([mine], 50, "transcribed 0:05 of 0:10")
        halfway = get_status(recordings, recording)
        assert (halfway.status, halfway.detail) == ("transcribing", "transcribed 0:05 of 0:10")
        before = halfway.percent
    with claim(worker, recording):
        assert get_status(recordings, recording).percent < before, "the next attempt starts over"


def test_lineage_tells_what_made_each_stage_in_order(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.transcribe(recording)
    media, heard = worker.results.lineage(recording)
    assert (media["stage"], heard["stage"]) == ("raw_media", "transcript")
    assert media["inputs"] == {"sha256": recording.sha256}
    assert heard["inputs"] == {"raw_media": media["output_hash"], "language": None}
    assert heard["recipe"] == RECIPE.as_json
    assert (heard["run_id"], heard["attempt"]) == ("run-1", 1)


def test_what_a_result_cost_is_kept(worker: PipelineDriver, recording: Recording) -> None:
    with (
        claim(worker, recording) as mine,
        worker.results.finish(mine, output_hash="heard", usage=Cost(1200, 0.0015)),
    ):
        pass
    made = worker.current(recording, "transcript")
    assert made is not None
    assert (made.tokens, made.cost_usd) == (1200, 0.0015)
