"""Process liveness: dead and stalled processes are detected, and their claims are released."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from playhead.core.records import Recording
from playhead.postgres.coordination.liveness import LivenessIntervals, ProcessLiveness, run_role
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from tests.integration.test_claims import becomes_true
from tests.support import factories
from tests.support.factories import PipelineDriver

REPOSITORY = Path(__file__).parents[2]

#: A process with the role "run 1", a claim and an open transaction, until it is killed.
HOLDER_PROGRAM = """
import sys
from playhead.postgres.coordination.liveness import ProcessLiveness
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
from tests.support import factories
database = Database(sys.argv[1])
[recording] = Recordings(database).get_many([sys.argv[2]])
worker = factories.PipelineDriver(database, "1")
inputs = {"sha256": recording.sha256}
with (
    ProcessLiveness(database).hold("run 1"),
    worker.claim(recording, factories.make_recipe("raw_media"), inputs) as claim,
    database.transaction() as connection,
):
    connection.execute("update recordings set title = 'locked'")
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def process_liveness(database: Database) -> Iterator[ProcessLiveness]:
    liveness_ = ProcessLiveness(database)
    yield liveness_
    liveness_.close()


@pytest.fixture
def holder(database: Database, recording: Recording) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER_PROGRAM, database.url, recording.id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def test_role_is_alive_while_it_is_held(process_liveness: ProcessLiveness) -> None:
    with process_liveness.hold(run_role("1")), process_liveness.hold(run_role("2")):
        assert process_liveness.not_alive(["run 1", "run 2", "run 3"]) == ["run 3"]
    assert not process_liveness.is_alive(run_role("1"))


def test_role_may_be_held_by_two_processes(
    process_liveness: ProcessLiveness, database: Database
) -> None:
    second = ProcessLiveness(database)
    with process_liveness.hold("worker"):
        with second.hold("worker"):
            pass
        assert process_liveness.is_alive("worker")
    second.close()
    assert not process_liveness.is_alive("worker")


def test_role_of_a_killed_process_is_not_alive(
    process_liveness: ProcessLiveness, holder: subprocess.Popen[str]
) -> None:
    assert process_liveness.is_alive(run_role("1"))
    holder.kill()
    assert becomes_true(lambda: not process_liveness.is_alive(run_role("1")))


def test_lost_session_is_replaced_with_all_its_roles(
    process_liveness: ProcessLiveness, database: Database
) -> None:
    with process_liveness.hold("worker"), process_liveness.hold(run_role("1")):
        database.rows(b"select pg_terminate_backend(pid, 5000) from live_processes group by pid")
        assert becomes_true(lambda: process_liveness.not_alive(["worker", "run 1"]) == [])


def test_busy_process_is_not_terminated(process_liveness: ProcessLiveness) -> None:
    with process_liveness.hold("worker"):
        assert process_liveness.terminate_stalled() == 0
        assert process_liveness.is_alive("worker")


def test_stalled_process_loses_its_claims_and_sessions(
    process_liveness: ProcessLiveness,
    holder: subprocess.Popen[str],
    worker: PipelineDriver,
    recording: Recording,
    recordings: Recordings,
    database: Database,
) -> None:
    intervals = LivenessIntervals(stalled_after_seconds=0.5, confirm_seconds=0.1)
    impatient = ProcessLiveness(database, intervals)
    assert recordings.pending(limit=1) == []
    holder.send_signal(19)  # stopped, not killed
    assert becomes_true(lambda: impatient.not_alive([run_role("1")]) == ["run 1"])
    assert impatient.terminate_stalled() >= 3
    assert recordings.pending(limit=1) == [recording]
    assert worker.probe(recording)


def test_worker_is_notified_of_new_and_released_recordings(
    process_liveness: ProcessLiveness,
    database: Database,
    recordings: Recordings,
    worker: PipelineDriver,
) -> None:
    listener = process_liveness.listener()
    listener.start()
    assert listener.work_available.wait(5), "it may have missed something before it listened"
    listener.work_available.clear()
    recording = factories.add_recording(database)
    assert listener.work_available.wait(5)
    worker.run_all_stages(recording)
    listener.work_available.clear()
    assert not listener.work_available.wait(0.3), "progress wakes nobody"
    recordings.release([recording.id])
    assert listener.work_available.wait(5)
    listener.close()


def test_listener_recovers_after_its_session_was_lost(
    process_liveness: ProcessLiveness, database: Database
) -> None:
    listener = process_liveness.listener()
    listener.start()
    assert listener.work_available.wait(5)
    listener.work_available.clear()
    database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        b" where query = 'listen playhead_pending'"
    )
    assert listener.work_available.wait(5)
    listener.close()
