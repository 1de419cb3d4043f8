"""Who attends is seen by all; who died or fell silent does not, and what it held is free."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from playhead.core.records import Recording
from playhead.postgres.coordination import liveness
from playhead.postgres.coordination.liveness import ProcessLiveness, run_role
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from tests.integration.test_workers import soon
from tests.support import factories
from tests.support.factories import Worker

REPOSITORY = Path(__file__).parents[2]

#: A process that has the duty "run 1", holds a claim, and has a transaction open, until killed.
HOLDER = """
import sys
from playhead.postgres.coordination.liveness import ProcessLiveness
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
from tests.support import factories
database = Database(sys.argv[1])
[recording] = Recordings(database).get_many([sys.argv[2]])
worker = factories.Worker(database, "1")
inputs = {"sha256": recording.sha256}
with (
    ProcessLiveness(database).hold("run 1"),
    worker.claim(recording, factories.recipe("raw_media"), inputs) as claim,
    database.transaction() as connection,
):
    connection.execute("update recordings set title = 'locked'")
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def here(database: Database) -> Iterator[ProcessLiveness]:
    attendance = ProcessLiveness(database)
    yield attendance
    attendance.close()


@pytest.fixture
def holder(database: Database, recording: Recording) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, database.url, recording.id],
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


def test_a_duty_is_seen_while_it_is_held(here: ProcessLiveness) -> None:
    with here.hold(run_role("1")), here.hold(run_role("2")):
        assert here.not_alive(["run 1", "run 2", "run 3"]) == ["run 3"]
    assert not here.is_alive(run_role("1"))


def test_two_may_have_the_same_duty(here: ProcessLiveness, database: Database) -> None:
    second = ProcessLiveness(database)
    with here.hold("worker"):
        with second.hold("worker"):
            pass
        assert here.is_alive("worker")
    second.close()
    assert not here.is_alive("worker")


def test_a_killed_process_attends_no_longer(
    here: ProcessLiveness, holder: subprocess.Popen[str]
) -> None:
    assert here.is_alive(run_role("1"))
    holder.kill()
    assert soon(lambda: not here.is_alive(run_role("1")))


def test_a_lost_session_is_replaced_with_all_its_duties(
    here: ProcessLiveness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "_POLL_INTERVAL_SECONDS", 0.05)
    with here.hold("worker"), here.hold(run_role("1")):
        database.rows(b"select pg_terminate_backend(pid, 5000) from attendances group by pid")
        assert soon(lambda: here.not_alive(["worker", "run 1"]) == [])


def test_a_process_that_is_only_busy_is_left_alone(here: ProcessLiveness) -> None:
    with here.hold("worker"):
        assert here.terminate_stalled() == 0
        assert here.is_alive("worker")


def test_a_silent_process_loses_everything_it_holds(
    here: ProcessLiveness,
    holder: subprocess.Popen[str],
    worker: Worker,
    recording: Recording,
    recordings: Recordings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "STALLED_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(liveness, "_CONFIRM_SECONDS", 0.1)
    assert recordings.pending(limit=1) == []
    holder.send_signal(19)  # stopped, not killed
    time.sleep(0.6)
    assert here.not_alive([run_role("1")]) == ["run 1"]
    assert here.terminate_stalled() >= 3
    assert recordings.pending(limit=1) == [recording]
    assert worker.probe(recording)


def test_a_worker_is_rung_for_what_comes_and_for_what_waits_again(
    here: ProcessLiveness, database: Database, recordings: Recordings, worker: Worker
) -> None:
    bell = here.listener()
    bell.start()
    assert bell.rung.wait(5), "it may have missed something before it listened"
    bell.rung.clear()
    recording = factories.registered(database)
    assert bell.rung.wait(5)
    worker.take_through(recording)
    bell.rung.clear()
    assert not bell.rung.wait(0.3), "progress wakes nobody"
    recordings.release([recording.id])
    assert bell.rung.wait(5)
    bell.close()


def test_a_bell_rings_again_after_its_session_was_lost(
    here: ProcessLiveness, database: Database
) -> None:
    bell = here.listener()
    bell.start()
    assert bell.rung.wait(5)
    bell.rung.clear()
    database.rows(
        b"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        b" where query = 'listen playhead_waiting'"
    )
    assert bell.rung.wait(5)
    bell.close()
