"""Claims: a result is written by one worker at a time, completely, whichever worker dies."""

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

from playhead.core.errors import ClaimLost, UnreadableMedia
from playhead.core.records import Recording
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.pipeline.stage_results import Claim
from tests.support import factories
from tests.support.factories import PipelineDriver, count_rows, get_status

REPOSITORY = Path(__file__).parents[2]
INPUTS = {"raw_media": "media 1", "language": None}
RECIPE = factories.make_recipe("transcript")
DAMAGED = UnreadableMedia("Nothing can be decoded.", remedy="Export it again.")

#: A worker that claims the transcript of a recording, prints the result, and waits for an order
#: on its standard input: "finish", or "write" to stop inside the transaction.
WORKER_PROGRAM = """
import sys
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
from tests.support import factories
database = Database(sys.argv[1])
worker = factories.PipelineDriver(database, "another process")
recording, = Recordings(database).get_many([sys.argv[2]])
inputs = {"raw_media": "media 1", "language": None}
print("claiming", flush=True)
with worker.claim(recording, factories.make_recipe("transcript"), inputs) as claim:
    print("found" if claim.done else f"claimed {claim.attempt}", flush=True)
    if not claim.done:
        order = sys.stdin.readline().strip()
        with worker.results.finish(claim, output_hash="heard") as write:
            worker.content.put_transcript(*write, recording, factories.make_transcript())
            if order == "write":
                print("written", flush=True)
                sys.stdin.readline()
        print("finished", flush=True)
database.close()
"""


@pytest.fixture
def recording(probed: Recording) -> Recording:
    return probed


@pytest.fixture
def start_worker(database: Database) -> Iterator[Callable[[Recording], subprocess.Popen[str]]]:
    """Yield a function that starts a worker process; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start_worker(recording: Recording) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER_PROGRAM, database.url, recording.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        started.append(process)
        assert read_line(process) == "claiming"
        return process

    yield start_worker
    for process in started:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def send_order(process: subprocess.Popen[str], order: str) -> None:
    assert process.stdin is not None
    process.stdin.write(order + "\n")
    process.stdin.flush()


def kill_process(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Return True if the condition becomes true within two seconds."""
    deadline = time.monotonic() + 2
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return result


def claim_transcript(worker: PipelineDriver, recording: Recording) -> AbstractContextManager[Claim]:
    return worker.claim(recording, RECIPE, INPUTS)


def finish(worker: PipelineDriver, claim_transcript: Claim, output: str = "heard") -> None:
    with worker.results.finish(claim_transcript, output_hash=output) as write:
        worker.content.put_transcript(
            *write, claim_transcript.recording, factories.make_transcript(output)
        )


def fail_while_writing(worker: PipelineDriver, claim_transcript: Claim) -> None:
    with worker.results.finish(claim_transcript, output_hash="heard") as write:
        worker.content.put_transcript(
            *write, claim_transcript.recording, factories.make_transcript()
        )
        raise ZeroDivisionError


def terminate_claim_sessions(database: Database) -> None:
    """End the sessions that hold a claim, as a server does with a client it cannot reach."""
    terminated = database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory'"
        b" and granted and classid = playhead_lock_class()::oid"
    )
    assert terminated, "no session held a claim"


@contextmanager
def take_over(
    worker: PipelineDriver, newer_worker: PipelineDriver, recording: Recording, database: Database
) -> Iterator[Claim]:
    """Yield the claim of a worker that was thought dead after another one has finished."""
    with claim_transcript(worker, recording) as lost_claim:
        terminate_claim_sessions(database)
        with claim_transcript(newer_worker, recording) as claim:
            assert claim.attempt == lost_claim.attempt + 1
            finish(newer_worker, claim, "by the newer")
        yield lost_claim


# Crashed workers


def test_claim_of_a_killed_worker_is_free_at_once(
    start_worker: Callable[[Recording], subprocess.Popen[str]],
    worker: PipelineDriver,
    recording: Recording,
) -> None:
    process = start_worker(recording)
    assert read_line(process) == "claimed 1"
    kill_process(process)
    started_at = time.monotonic()
    with claim_transcript(worker, recording) as claim:
        assert time.monotonic() - started_at < 2
        assert (claim.done, claim.attempt) == (None, 2)
        finish(worker, claim)
    assert worker.output(recording, "transcript") == "heard"


def test_killed_worker_is_never_shown_as_working(
    start_worker: Callable[[Recording], subprocess.Popen[str]],
    recordings: Recordings,
    recording: Recording,
) -> None:
    process = start_worker(recording)
    read_line(process)
    in_progress = get_status(recordings, recording)
    assert (in_progress.status, in_progress.detail, in_progress.live) == (
        "transcribing",
        "working",
        True,
    )
    assert recordings.pending(limit=9) == []
    kill_process(process)
    assert becomes_true(lambda: not get_status(recordings, recording).live)
    status = get_status(recordings, recording)
    assert (status.status, status.detail) == ("uploaded", "waiting")
    assert recordings.pending(limit=9) == [recording]


def test_worker_killed_while_writing_leaves_no_rows(
    start_worker: Callable[[Recording], subprocess.Popen[str]],
    worker: PipelineDriver,
    recording: Recording,
    database: Database,
) -> None:
    process = start_worker(recording)
    read_line(process)
    send_order(process, "write")
    assert read_line(process) == "written"
    kill_process(process)
    with claim_transcript(worker, recording) as claim:
        assert claim.attempt == 2
        assert count_rows(database, b"transcripts") == 0
        assert worker.current(recording, "transcript") is None


def test_error_while_writing_leaves_no_rows(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    with claim_transcript(worker, recording) as claim:
        with pytest.raises(ZeroDivisionError):
            fail_while_writing(worker, claim)
        assert count_rows(database, b"transcripts") == 0
        assert worker.current(recording, "transcript") is None
        finish(worker, claim)  # the claim is still its own
    assert worker.output(recording, "transcript") == "heard"


def test_worker_thought_dead_writes_nothing_when_it_returns(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    newer_worker = PipelineDriver(database, "run-2")
    with (
        pytest.raises(ClaimLost),
        take_over(worker, newer_worker, recording, database) as lost_claim,
    ):
        finish(worker, lost_claim, "by the older")
    current = worker.current(recording, "transcript")
    assert current is not None
    assert (current.output_hash, current.run_id, current.attempt) == ("by the newer", "run-2", 2)
    assert worker.content.transcript(recording, current.id).text == "by the newer"
    assert count_rows(database, b"transcripts") == 1


def test_worker_thought_dead_cannot_change_the_newer_attempt(
    worker: PipelineDriver, recording: Recording, database: Database, recordings: Recordings
) -> None:
    newer_worker = PipelineDriver(database, "run-2")
    with claim_transcript(worker, recording) as lost_claim:
        terminate_claim_sessions(database)
        with claim_transcript(newer_worker, recording):
            with pytest.raises(ClaimLost):
                newer_worker.results.progress([lost_claim], 90, "by the older")
            worker.results.fail(lost_claim, DAMAGED, final=True)
            status = get_status(recordings, recording)
            assert (status.status, status.detail) == ("transcribing", "working")
    assert recordings.dead_letters() == []


def test_worker_that_lost_its_session_still_finishes_if_not_replaced(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    with claim_transcript(worker, recording) as claim:
        terminate_claim_sessions(database)
        finish(worker, claim)
    assert worker.output(recording, "transcript") == "heard"


def test_session_lost_between_two_claims_is_replaced(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    worker.transcribe(recording)
    database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        b" where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert worker.transcribe(recording, version="2")


# Concurrent workers


def test_second_worker_waits_for_a_claim_and_finds_it_done(
    start_worker: Callable[[Recording], subprocess.Popen[str]],
    recording: Recording,
    database: Database,
) -> None:
    first = start_worker(recording)
    assert read_line(first) == "claimed 1"
    second = start_worker(recording)
    assert becomes_true(
        lambda: count_rows(database, b"pg_locks where locktype = 'advisory' and not granted") == 1
    )
    send_order(first, "finish")
    assert read_line(first) == "finished"
    assert read_line(second) == "found"
    assert count_rows(database, b"transcripts") == 1


def test_one_of_many_concurrent_workers_creates_the_result(
    recording: Recording, database: Database
) -> None:
    barrier = threading.Barrier(8)

    def transcribe(number: int) -> bool:
        worker = PipelineDriver(database, f"run-{number}")
        barrier.wait()
        try:
            return worker.transcribe(recording)
        finally:
            worker.results.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(transcribe, range(8)))
    assert outcomes.count(True) == 1
    assert count_rows(database, b"transcripts") == 1


def test_claims_in_another_database_are_independent(
    worker: PipelineDriver,
    recording: Recording,
    recordings: Recordings,
    fresh_database: Callable[[], str],
) -> None:
    with claim_transcript(worker, recording):
        pass  # like a worker that died
    other_database = Database(fresh_database())
    other_recording = factories.add_recording(other_database)
    their_worker = PipelineDriver(other_database)
    their_worker.probe(other_recording)
    with (
        claim_transcript(their_worker, other_recording) as foreign_claim,
        claim_transcript(worker, recording) as own_claim,
    ):
        assert foreign_claim.id == own_claim.id
    with claim_transcript(their_worker, other_recording):
        assert not get_status(recordings, recording).live
    their_worker.results.close()
    other_database.close()


def test_claims_of_two_recordings_are_independent(
    worker: PipelineDriver, recording: Recording, database: Database, recordings: Recordings
) -> None:
    other_recording = factories.add_recording(database)
    other_worker = PipelineDriver(database, "run-2")
    with claim_transcript(worker, recording), claim_transcript(other_worker, other_recording):
        under_way = {status.id for status in recordings.under_way("default")}
    assert under_way == {recording.id, other_recording.id}
