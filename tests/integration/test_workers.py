"""Whoever dies or comes back from the dead, a result is one worker's at a time and whole."""

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

#: A worker that claims the transcript of a recording, tells how that went, and goes on when it
#: is told to on its standard input: "finish", or "write" to stop inside the transaction.
WORKER = """
import sys
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
from tests.support import factories
database = Database(sys.argv[1])
worker = factories.PipelineDriver(database, "another process")
recording, = Recordings(database).get_many([sys.argv[2]])
inputs = {"raw_media": "media 1", "language": None}
print("asking", flush=True)
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


def claim(worker: PipelineDriver, recording: Recording) -> AbstractContextManager[Claim]:
    return worker.claim(recording, RECIPE, INPUTS)


def finish(worker: PipelineDriver, claim: Claim, output: str = "heard") -> None:
    with worker.results.finish(claim, output_hash=output) as write:
        worker.content.put_transcript(*write, claim.recording, factories.make_transcript(output))


def interrupted(worker: PipelineDriver, claim: Claim) -> None:
    with worker.results.finish(claim, output_hash="heard") as write:
        worker.content.put_transcript(*write, claim.recording, factories.make_transcript())
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
    worker: PipelineDriver, newer: PipelineDriver, recording: Recording, database: Database
) -> Iterator[Claim]:
    """The claim of a worker that was thought dead, and in whose place another has finished."""
    with claim(worker, recording) as lost:
        cut_off(database)
        with claim(newer, recording) as mine:
            assert mine.attempt == lost.attempt + 1
            finish(newer, mine, "by the newer")
        yield lost


# Workers that die


def test_a_killed_worker_leaves_its_result_to_the_next_one_at_once(
    start: Callable[[Recording], subprocess.Popen[str]],
    worker: PipelineDriver,
    recording: Recording,
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
    start: Callable[[Recording], subprocess.Popen[str]],
    recordings: Recordings,
    recording: Recording,
) -> None:
    doomed = start(recording)
    line(doomed)
    working = get_status(recordings, recording)
    assert (working.status, working.detail, working.live) == ("transcribing", "working", True)
    assert recordings.pending(limit=9) == []
    kill(doomed)
    assert soon(lambda: not get_status(recordings, recording).live)
    waiting = get_status(recordings, recording)
    assert (waiting.status, waiting.detail) == ("uploaded", "waiting")
    assert recordings.pending(limit=9) == [recording]


def test_a_worker_killed_while_writing_leaves_nothing_of_what_it_wrote(
    start: Callable[[Recording], subprocess.Popen[str]],
    worker: PipelineDriver,
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
        assert count_rows(database, b"transcripts") == 0
        assert worker.current(recording, "transcript") is None


def test_an_error_while_writing_leaves_nothing_of_what_was_written(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    with claim(worker, recording) as mine:
        with pytest.raises(ZeroDivisionError):
            interrupted(worker, mine)
        assert count_rows(database, b"transcripts") == 0
        assert worker.current(recording, "transcript") is None
        finish(worker, mine)  # the claim is still its own
    assert worker.output(recording, "transcript") == "heard"


def test_a_worker_thought_dead_that_comes_back_writes_nothing(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    newer = PipelineDriver(database, "run-2")
    with (
        pytest.raises(ClaimLost),
        taken_over(worker, newer, recording, database) as lost,
    ):
        finish(worker, lost, "by the older")
    current = worker.current(recording, "transcript")
    assert current is not None
    assert (current.output_hash, current.run_id, current.attempt) == ("by the newer", "run-2", 2)
    assert worker.content.transcript(recording, current.id).text == "by the newer"
    assert count_rows(database, b"transcripts") == 1


def test_a_worker_thought_dead_neither_fails_nor_moves_the_newer_attempt(
    worker: PipelineDriver, recording: Recording, database: Database, recordings: Recordings
) -> None:
    newer = PipelineDriver(database, "run-2")
    with claim(worker, recording) as lost:
        cut_off(database)
        with claim(newer, recording):
            with pytest.raises(ClaimLost):
                newer.results.progress([lost], 90, "by the older")
            worker.results.fail(lost, DAMAGED, final=True)
            shown = get_status(recordings, recording)
            assert (shown.status, shown.detail) == ("transcribing", "working")
    assert recordings.dead_letters() == []


def test_a_worker_that_lost_its_session_and_was_not_replaced_still_finishes(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    with claim(worker, recording) as mine:
        cut_off(database)
        finish(worker, mine)
    assert worker.output(recording, "transcript") == "heard"


def test_a_session_lost_between_two_claims_is_not_noticed(
    worker: PipelineDriver, recording: Recording, database: Database
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
        lambda: count_rows(database, b"pg_locks where locktype = 'advisory' and not granted") == 1
    )
    tell(first, "finish")
    assert line(first) == "finished"
    assert line(second) == "found"
    assert count_rows(database, b"transcripts") == 1


def test_of_many_workers_at_one_result_exactly_one_makes_it(
    recording: Recording, database: Database
) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> bool:
        worker = PipelineDriver(database, f"run-{number}")
        together.wait()
        try:
            return worker.transcribe(recording)
        finally:
            worker.results.close()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(8)))
    assert made.count(True) == 1
    assert count_rows(database, b"transcripts") == 1


def test_a_worker_at_another_database_of_the_server_is_not_taken_for_one_of_ours(
    worker: PipelineDriver,
    recording: Recording,
    recordings: Recordings,
    fresh_database: Callable[[], str],
) -> None:
    with claim(worker, recording):
        pass  # as if it had died
    neighbours = Database(fresh_database())
    theirs = factories.add_recording(neighbours)
    their_worker = PipelineDriver(neighbours)
    their_worker.probe(theirs)
    with claim(their_worker, theirs) as held, claim(worker, recording) as ours:
        assert held.id == ours.id
    with claim(their_worker, theirs):
        assert not get_status(recordings, recording).live
    their_worker.results.close()
    neighbours.close()


def test_two_recordings_are_worked_on_side_by_side(
    worker: PipelineDriver, recording: Recording, database: Database, recordings: Recordings
) -> None:
    another = factories.add_recording(database)
    neighbour = PipelineDriver(database, "run-2")
    with claim(worker, recording), claim(neighbour, another):
        under_way = {shown.id for shown in recordings.under_way("default")}
    assert under_way == {recording.id, another.id}
