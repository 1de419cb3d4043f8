"""What the ledger promises: a result is made once, by one worker, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from resources.errors import ClaimLost, TransientError, UnreadableMedia
from resources.postgres.catalogue import Catalogue, Status
from resources.postgres.database import Database
from resources.postgres.ledger import MAX_ATTEMPTS, MAX_REQUESTS, Claim
from resources.records import Recording, Usage
from tests import making
from tests.making import Worker

REPOSITORY = Path(__file__).parents[2]
INPUTS = {"raw_media": "media 1", "language": None}
RECIPE = making.recipe("transcript")
DAMAGED = UnreadableMedia("Nothing can be decoded.", remedy="Export it again.")
BUSY = TransientError("The model is busy.", remedy="Wait.")

#: A worker that claims the transcript of a recording, tells how that went, and goes on when it
#: is told to on its standard input: "finish", or "write" to stop inside the transaction.
WORKER = """
import sys
from resources.postgres.catalogue import Catalogue
from resources.postgres.database import Database
from tests import making
database = Database(sys.argv[1])
worker = making.Worker(database, "another process")
recording, = Catalogue(database).recordings([sys.argv[2]])
inputs = {"raw_media": "media 1", "language": None}
print("asking", flush=True)
with worker.claim(recording, making.recipe("transcript"), inputs) as claim:
    print("found" if claim.done else f"claimed {claim.attempt}", flush=True)
    if not claim.done:
        order = sys.stdin.readline().strip()
        with worker.ledger.finish(claim, output_hash="heard", usage=making.NO_COST) as write:
            worker.content.put_transcript(*write, recording, making.transcript())
            if order == "write":
                print("written", flush=True)
                sys.stdin.readline()
        print("finished", flush=True)
database.close()
"""


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    return Catalogue(database)


@pytest.fixture
def recording(database: Database) -> Recording:
    """Probed, so that its transcript is next."""
    recording = making.registered(database)
    Worker(database).probe(recording)
    return recording


@pytest.fixture
def worker(database: Database) -> Iterator[Worker]:
    worker = Worker(database)
    yield worker
    worker.ledger.close()


@pytest.fixture
def start(database: Database) -> Iterator[Callable[[Recording], subprocess.Popen[str]]]:
    """Starts worker processes; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(recording: Recording) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, database.url, recording.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        started.append(process)
        assert line(process) == "asking"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], order: str) -> None:
    assert process.stdin is not None
    process.stdin.write(order + "\n")
    process.stdin.flush()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def soon(true: Callable[[], bool]) -> bool:
    """Whether it comes true within two seconds."""
    deadline = time.monotonic() + 2
    while not (so := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return so


def claim(worker: Worker, recording: Recording) -> AbstractContextManager[Claim]:
    return worker.claim(recording, RECIPE, INPUTS)


def finish(worker: Worker, claim: Claim, output: str = "heard") -> None:
    with worker.ledger.finish(claim, output_hash=output, usage=making.NO_COST) as write:
        worker.content.put_transcript(*write, claim.recording, making.transcript(output))


def interrupted(worker: Worker, claim: Claim) -> None:
    with worker.ledger.finish(claim, output_hash="heard", usage=making.NO_COST) as write:
        worker.content.put_transcript(*write, claim.recording, making.transcript())
        raise ZeroDivisionError


def cut_off(database: Database) -> None:
    """End the sessions that hold a claim, as a server does with a client it cannot reach."""
    ended = database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory'"
        b" and granted and classid = playhead_lock_class()::oid"
    )
    assert ended, "somebody held a claim"


@contextmanager
def taken_over(
    worker: Worker, newer: Worker, recording: Recording, database: Database
) -> Iterator[Claim]:
    """The claim of a worker that was thought dead, and in whose place another has finished."""
    with claim(worker, recording) as lost:
        cut_off(database)
        with claim(newer, recording) as mine:
            assert mine.attempt == lost.attempt + 1
            finish(newer, mine, "by the newer")
        yield lost


def status(catalogue: Catalogue, recording: Recording) -> Status:
    (found,) = catalogue.statuses(recording.org_id, [recording.id])
    return found


def count(database: Database, table: bytes) -> int:
    row = database.row(b"select count(*) as rows from " + table)
    assert row is not None
    return int(row["rows"])


# Workers that die


def test_a_killed_worker_leaves_its_result_to_the_next_one_at_once(
    start: Callable[[Recording], subprocess.Popen[str]], worker: Worker, recording: Recording
) -> None:
    doomed = start(recording)
    assert line(doomed) == "claimed 1"
    kill(doomed)
    began = time.monotonic()
    with claim(worker, recording) as mine:
        assert time.monotonic() - began < 2
        assert (mine.done, mine.attempt) == (None, 2)
        finish(worker, mine)
    assert worker.output(recording, "transcript") == "heard"


def test_a_killed_worker_is_never_shown_as_working(
    start: Callable[[Recording], subprocess.Popen[str]], catalogue: Catalogue, recording: Recording
) -> None:
    doomed = start(recording)
    line(doomed)
    working = status(catalogue, recording)
    assert (working.status, working.detail, working.live) == ("transcribing", "working", True)
    assert catalogue.waiting(limit=9) == []
    kill(doomed)
    assert soon(lambda: not status(catalogue, recording).live)
    waiting = status(catalogue, recording)
    assert (waiting.status, waiting.detail) == ("uploaded", "waiting")
    assert catalogue.waiting(limit=9) == [recording]


def test_a_worker_killed_while_writing_leaves_nothing_of_what_it_wrote(
    start: Callable[[Recording], subprocess.Popen[str]],
    worker: Worker,
    recording: Recording,
    database: Database,
) -> None:
    doomed = start(recording)
    line(doomed)
    tell(doomed, "write")
    assert line(doomed) == "written"
    kill(doomed)
    with claim(worker, recording) as mine:
        assert mine.attempt == 2
        assert count(database, b"transcripts") == 0
        assert worker.ledger.current(recording, "transcript") is None


def test_an_error_while_writing_leaves_nothing_of_what_was_written(
    worker: Worker, recording: Recording, database: Database
) -> None:
    with claim(worker, recording) as mine:
        with pytest.raises(ZeroDivisionError):
            interrupted(worker, mine)
        assert count(database, b"transcripts") == 0
        assert worker.ledger.current(recording, "transcript") is None
        finish(worker, mine)  # the claim is still its own
    assert worker.output(recording, "transcript") == "heard"


def test_a_worker_thought_dead_that_comes_back_writes_nothing(
    worker: Worker, recording: Recording, database: Database
) -> None:
    newer = Worker(database, "run-2")
    with (
        pytest.raises(ClaimLost),
        taken_over(worker, newer, recording, database) as lost,
    ):
        finish(worker, lost, "by the older")
    current = worker.ledger.current(recording, "transcript")
    assert current is not None
    assert (current.output_hash, current.run_id, current.attempt) == ("by the newer", "run-2", 2)
    assert worker.content.transcript(current.id).text == "by the newer"
    assert count(database, b"transcripts") == 1


def test_a_worker_thought_dead_neither_fails_nor_moves_the_newer_attempt(
    worker: Worker, recording: Recording, database: Database, catalogue: Catalogue
) -> None:
    newer = Worker(database, "run-2")
    with claim(worker, recording) as lost:
        cut_off(database)
        with claim(newer, recording):
            newer.ledger.progress(lost, 90, "by the older")
            worker.ledger.fail(lost, DAMAGED, final=True)
            shown = status(catalogue, recording)
            assert (shown.status, shown.detail) == ("transcribing", "working")
    assert catalogue.dead_letters() == []


def test_a_worker_that_lost_its_session_and_was_not_replaced_still_finishes(
    worker: Worker, recording: Recording, database: Database
) -> None:
    with claim(worker, recording) as mine:
        cut_off(database)
        finish(worker, mine)
    assert worker.output(recording, "transcript") == "heard"


def test_a_session_lost_between_two_claims_is_not_noticed(
    worker: Worker, recording: Recording, database: Database
) -> None:
    worker.transcribe(recording)
    database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        b" where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert worker.transcribe(recording, version="2")


# Two at the same result


def test_of_two_processes_at_one_result_the_second_waits_and_finds_it_done(
    start: Callable[[Recording], subprocess.Popen[str]], recording: Recording, database: Database
) -> None:
    first = start(recording)
    assert line(first) == "claimed 1"
    second = start(recording)
    assert soon(
        lambda: count(database, b"pg_locks where locktype = 'advisory' and not granted") == 1
    )
    tell(first, "finish")
    assert line(first) == "finished"
    assert line(second) == "found"
    assert count(database, b"transcripts") == 1


def test_of_many_workers_at_one_result_exactly_one_makes_it(
    recording: Recording, database: Database
) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> bool:
        worker = Worker(database, f"run-{number}")
        together.wait()
        try:
            return worker.transcribe(recording)
        finally:
            worker.ledger.close()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(8)))
    assert made.count(True) == 1
    assert count(database, b"transcripts") == 1


def test_two_recordings_are_worked_on_side_by_side(
    worker: Worker, recording: Recording, database: Database, catalogue: Catalogue
) -> None:
    another = making.registered(database)
    neighbour = Worker(database, "run-2")
    with claim(worker, recording), claim(neighbour, another):
        under_way = {shown.id for shown in catalogue.under_way("default")}
    assert under_way == {recording.id, another.id}


# Once


def test_the_same_input_and_recipe_is_made_once_and_found_afterwards(
    worker: Worker, recording: Recording, database: Database
) -> None:
    assert worker.transcribe(recording)
    made = worker.ledger.current(recording, "transcript")
    assert not Worker(database, "run-2").transcribe(recording)
    assert worker.ledger.current(recording, "transcript") == made
    assert count(database, b"stage_results where stage = 'transcript'") == 1


def test_the_order_of_the_inputs_does_not_matter(worker: Worker, recording: Recording) -> None:
    worker.transcribe(recording)
    backwards = {"language": None, "raw_media": "media 1"}
    with worker.claim(recording, RECIPE, backwards) as mine:
        assert mine.done is not None


def test_another_recipe_makes_a_result_beside_the_old_one_and_readers_see_the_new(
    worker: Worker, recording: Recording
) -> None:
    worker.transcribe(recording, making.transcript("as heard before"))
    before = worker.ledger.current(recording, "transcript")
    assert worker.transcribe(recording, making.transcript("as heard now"), version="2")
    assert worker.output(recording, "transcript") == "as heard now"
    assert before is not None
    assert worker.content.transcript(before.id).text == "as heard before"


def test_readers_see_the_old_result_while_the_new_one_is_made(
    worker: Worker, recording: Recording
) -> None:
    worker.transcribe(recording, making.transcript("as heard before"))
    with worker.claim(recording, making.recipe("transcript", "2"), INPUTS):
        assert worker.output(recording, "transcript") == "as heard before"


def test_going_back_to_an_old_recipe_finds_its_result_and_shows_it_again(
    worker: Worker, recording: Recording
) -> None:
    worker.transcribe(recording, making.transcript("as heard before"))
    worker.transcribe(recording, making.transcript("as heard now"), version="2")
    assert not worker.transcribe(recording, version="1")
    assert worker.output(recording, "transcript") == "as heard before"


def test_what_stands_on_another_input_waits_to_be_made_again(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    worker.take_through(recording)
    assert catalogue.waiting(limit=9) == []
    worker.transcribe(recording, making.transcript("other words"), version="2")
    assert catalogue.waiting(limit=9) == [recording]
    worker.transcribe(recording, version="1")
    assert catalogue.waiting(limit=9) == []


def test_going_back_to_chunks_that_are_gone_makes_them_again(
    worker: Worker, recording: Recording, database: Database
) -> None:
    worker.take_through(recording, ["one", "two"])
    worker.transcribe(recording, making.transcript("other words"), version="2")
    worker.write(recording)
    worker.cut(recording, making.passages("other"))
    worker.embed(recording)
    worker.transcribe(recording, version="1")
    worker.write(recording)
    assert worker.cut(recording, making.passages("one", "two"))
    assert worker.embed(recording)
    found = worker.content.chunks(recording, making.CHUNK_RECIPE.hash)
    assert [row["text"] for row in found] == ["one", "two"]
    assert count(database, b"embeddings") == 2


def test_vectors_that_went_with_their_chunks_are_never_taken_for_done(
    worker: Worker, recording: Recording, database: Database
) -> None:
    """Also when another version of the embedding stage has been at work in between."""
    worker.take_through(recording, ["one", "two"])
    worker.transcribe(recording, making.transcript("other words"), version="2")
    worker.write(recording)
    worker.cut(recording, making.passages("other"))
    worker.embed(recording, version="2")
    worker.transcribe(recording, version="1")
    worker.write(recording)
    worker.cut(recording, making.passages("one", "two"))
    worker.embed(recording, version="1")
    assert count(database, b"embeddings") == 2


def test_an_edit_undone_before_its_chunks_were_embedded_leaves_no_chunk_without_a_vector(
    worker: Worker, recording: Recording, database: Database, catalogue: Catalogue
) -> None:
    worker.take_through(recording, ["one", "two"])
    worker.transcribe(recording, making.transcript("other words"), version="2")
    worker.write(recording)
    worker.cut(recording, making.passages("other"))
    worker.transcribe(recording, version="1")
    worker.write(recording)
    worker.cut(recording, making.passages("one", "two"))
    assert catalogue.waiting(limit=9) == [recording]
    worker.embed(recording)
    assert count(database, b"embeddings") == 2
    assert catalogue.waiting(limit=9) == []


# Failing


def test_a_final_failure_writes_one_letter_with_everything_a_person_needs(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        worker.ledger.fail(mine, DAMAGED, final=True)
    (letter,) = catalogue.dead_letters()
    assert (letter.id, letter.org_id, letter.stage) == (recording.id, "default", "transcript")
    assert (letter.error_class, letter.attempts) == ("UnreadableMedia", 1)
    assert (letter.message, letter.remedy) == ("Nothing can be decoded.", "Export it again.")


def test_a_reason_that_postgres_cannot_hold_is_stored_all_the_same(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        odd = UnreadableMedia("Read \x00 and \udcff.", remedy="Export it again.")
        worker.ledger.fail(mine, odd, final=True)
    assert catalogue.dead_letters()[0].message == "Read \ufffd and \ufffd."


def test_a_failure_that_is_tried_again_writes_no_letter(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        worker.ledger.fail(mine, BUSY, final=False)
    assert catalogue.dead_letters() == []
    assert catalogue.waiting(limit=9) == [recording]
    with claim(worker, recording) as mine:
        assert mine.attempt == 2


def test_failing_for_good_again_keeps_one_open_letter(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    for _ in range(2):
        with claim(worker, recording) as mine:
            worker.ledger.fail(mine, DAMAGED, final=True)
    assert len(catalogue.dead_letters()) == 1


def test_success_settles_the_letter(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        worker.ledger.fail(mine, BUSY, final=True)
    worker.transcribe(recording)
    assert catalogue.dead_letters() == []
    assert status(catalogue, recording).status == "transcribed"


def test_retry_takes_a_recording_up_at_the_stage_that_failed(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        worker.ledger.fail(mine, DAMAGED, final=True)
    assert catalogue.waiting(limit=9) == []
    assert catalogue.replay("default", [recording.id]) == [(recording.id, "transcript")]
    assert catalogue.waiting(limit=9) == [recording]
    assert not worker.probe(recording), "the good stage stays"
    with claim(worker, recording) as mine:
        assert (mine.done, mine.attempt) == (None, 2)


def test_a_result_that_kills_its_workers_is_given_up_with_a_letter(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    for _ in range(MAX_ATTEMPTS - 1):
        with claim(worker, recording):
            pass  # neither finished nor failed: as if it had died
    assert worker.ledger.bury_lost() == 0
    with claim(worker, recording):
        assert worker.ledger.bury_lost() == 0, "the last one is still alive"
    assert worker.ledger.bury_lost() == 1
    (letter,) = catalogue.dead_letters()
    assert (letter.error_class, letter.attempts) == ("WorkerDied", MAX_ATTEMPTS)
    assert recording.id in letter.remedy
    assert catalogue.waiting(limit=9) == []
    assert worker.ledger.bury_lost() == 0


def test_a_recording_that_many_runs_brought_no_further_gets_a_letter(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    def bury() -> int:
        return worker.ledger.bury_stuck([recording.id], run_id="run-6", message="Out of memory.")

    for _ in range(MAX_REQUESTS - 1):
        catalogue.requested([recording.id])
    assert bury() == 0
    catalogue.requested([recording.id])
    with claim(worker, recording):
        assert bury() == 0, "a living worker has it"
    assert bury() == 1
    (letter,) = catalogue.dead_letters()
    assert (letter.stage, letter.error_class) == ("transcript", "RunFailed")
    assert (letter.message, letter.attempts) == ("Out of memory.", MAX_REQUESTS)
    assert bury() == 0
    catalogue.replay("default", [recording.id])
    assert bury() == 0, "a retry starts counting anew"


def test_a_stage_that_was_finished_starts_the_count_of_runs_anew(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    for _ in range(MAX_REQUESTS):
        catalogue.requested([recording.id])
    worker.transcribe(recording)
    assert worker.ledger.bury_stuck([recording.id], run_id="run", message="Down.") == 0


# Being told


def test_progress_is_seen_by_others_while_the_work_goes_on(
    worker: Worker, recording: Recording, catalogue: Catalogue
) -> None:
    with claim(worker, recording) as mine:
        worker.ledger.progress(mine, 50, "transcribed 0:05 of 0:10")
        halfway = status(catalogue, recording)
        assert (halfway.status, halfway.detail) == ("transcribing", "transcribed 0:05 of 0:10")
        before = halfway.percent
    with claim(worker, recording):
        assert status(catalogue, recording).percent < before, "the next attempt starts over"


def test_lineage_tells_what_made_each_stage_in_order(worker: Worker, recording: Recording) -> None:
    worker.transcribe(recording)
    media, heard = worker.ledger.lineage(recording)
    assert (media["stage"], heard["stage"]) == ("raw_media", "transcript")
    assert media["inputs"] == {"sha256": recording.sha256}
    assert heard["inputs"] == {"raw_media": media["output_hash"], "language": None}
    assert heard["recipe"] == RECIPE.as_json
    assert (heard["run_id"], heard["attempt"]) == ("run-1", 1)


def test_what_a_result_cost_is_kept(worker: Worker, recording: Recording) -> None:
    with (
        claim(worker, recording) as mine,
        worker.ledger.finish(mine, output_hash="heard", usage=Usage(1200, 0.0015)),
    ):
        pass
    made = worker.ledger.current(recording, "transcript")
    assert made is not None
    assert (made.tokens, made.cost_usd) == (1200, 0.0015)
