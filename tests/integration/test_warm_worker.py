"""A warm worker that dies, hangs, is told to stop or loses its database: what it was at is made
once and whole, and what waits goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.maintenance import orphaned_runs
from pipeline_assets.runs import INGEST_RECORDING
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.coordination import liveness
from playhead.postgres.coordination.liveness import WORKER
from playhead.postgres.database_urls import embedded_server
from playhead.services.context import PipelineServices, open_pipeline_services
from sensors.pending_recordings import pending_recordings_sensor
from tests.integration.conftest import stub_engines, write_sound
from tests.support.factories import get_status

REPOSITORY = Path(__file__).parents[2]

#: A warm worker whose transcriber hears until there is a file of this name.
SCRIPT = """
import signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import dagster as dg
from pipeline_assets.definitions import build_definitions
from pipeline_assets.worker.in_process_runner import InProcessRunner
from pipeline_assets.worker.worker import Worker
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.core.settings import load_settings
from playhead.engines.transcription.stub import StubTranscriber
from playhead.services.context import open_pipeline_services
from playhead.engines.writing.extractive import ExtractiveWriter

class Slow(StubTranscriber):
    def transcribe(self, media, *, progress, **how):
        while not Path(sys.argv[1]).exists():
            progress(0.0)
            time.sleep(0.02)
        return super().transcribe(media, progress=progress, **how)

embedders = EmbedderRegistry("stub", {"stub": StubEmbedder})
engines = Engines(Slow(), ExtractiveWriter(), embedders)
instance = dg.DagsterInstance.from_config(".")
with open_pipeline_services(load_settings(), engines) as services, instance:
    definitions = build_definitions(services.settings, services=services)
    worker = Worker(services, instance, InProcessRunner(services, instance, definitions))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    with ThreadPoolExecutor(1) as thread:  # Dagster takes signals for itself on the main one
        thread.submit(worker.run).result()
"""


@dataclass(frozen=True)
class Place:
    """A home, Dagster over it, and warm workers in processes of their own."""

    services: PipelineServices
    instance: dg.DagsterInstance
    go: Path
    workers: list[subprocess.Popen[bytes]]

    def start(self) -> subprocess.Popen[bytes]:
        """A worker that attends."""
        settings = self.services.settings
        environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY),
            "PLAYHEAD_HOME": str(settings.home),
        }
        if settings.database_url:
            environment["DATABASE_URL"] = settings.database_url
        with (self.go.parent / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, self.go], cwd=REPOSITORY, env=environment, stderr=log
            )
        self.workers.append(worker)
        until(lambda: self.services.liveness.is_alive(WORKER))
        return worker

    def add(self, name: str) -> Recording:
        file = write_sound(self.go.parent / name)
        return self.services.ingest.add(file, org_id="default").recording

    def status(self, recording: Recording) -> str:
        return get_status(self.services.pipeline.recordings, recording).status

    def run(self) -> dg.DagsterRun:
        """The newest."""
        [run] = self.instance.get_runs(limit=1)
        return run

    def told(self, recording: Recording) -> list[int]:
        """How often each stage from the transcript on was told to Dagster."""
        keys = [dg.AssetKey(stage) for stage in STAGES[1:]]
        found = [self.instance.fetch_materializations(key, limit=99).records for key in keys]
        return [
            sum(record.partition_key == recording.id for record in records) for records in found
        ]

    def make(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that a sensor asked for, in this process."""
        definitions = build_definitions(self.services.settings, services=self.services)
        job = definitions.resolve_job_def(INGEST_RECORDING)
        return job.execute_in_process(
            instance=self.instance, tags=dict(request.tags), run_config=dict(request.run_config)
        )

    def hearing(self) -> Recording:
        """A new recording that a worker is at."""
        recording = self.add(f"{time.monotonic_ns()}.wav")
        until(lambda: self.status(recording) == "transcribing")
        return recording


def asked_for_by_the_sensor(place: Place) -> list[dg.RunRequest]:
    """Once it asks for anything."""
    context = dg.build_sensor_context(
        instance=place.instance, resources={"playhead": place.services}
    )
    requests: list[dg.RunRequest] = []

    def asked() -> bool:
        result = pending_recordings_sensor(context)
        if isinstance(result, dg.SensorResult):
            requests.extend(result.run_requests or [])
        return bool(requests)

    until(asked)
    return requests


@pytest.fixture
def own_settings(settings: Settings) -> Settings:
    return settings


@pytest.fixture
def place(
    own_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setenv("PLAYHEAD_HOME", str(own_settings.home))
    if own_settings.database_url:
        monkeypatch.setenv("DATABASE_URL", own_settings.database_url)
    workers: list[subprocess.Popen[bytes]] = []
    with (
        open_pipeline_services(own_settings, stub_engines()) as services,
        dg.DagsterInstance.from_config(str(REPOSITORY)) as instance,
    ):
        yield Place(services, instance, tmp_path / "go", workers)
        for worker in workers:
            worker.kill()
            worker.wait()


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_recording_is_begun_at_once_and_nobody_has_to_ask(place: Place) -> None:
    place.go.touch()
    place.start()
    time.sleep(1)  # so that it is not its first look that finds the recording
    recording = place.add("a.wav")
    until(lambda: place.status(recording) == "ready", seconds=5)
    until(lambda: place.told(recording) == [1] * 4, seconds=5)


def test_a_dropped_file_is_taken_once_its_writer_has_closed_it(place: Place) -> None:
    place.go.touch()
    place.start()
    inbox = place.services.settings.home / "inbox"
    until(inbox.exists)
    sound = write_sound(place.go.parent / "talk.wav").read_bytes()
    with (inbox / "talk.wav").open("wb") as file:
        for byte in range(0, len(sound), len(sound) // 4):
            file.write(sound[byte : byte + len(sound) // 4])
            file.flush()
            time.sleep(0.2)
        assert place.services.pipeline.recordings.statuses("default") == []
    until(lambda: not any(inbox.iterdir()), seconds=5)
    [taken] = place.services.pipeline.recordings.get_many(
        [recording.id for recording in place.services.pipeline.recordings.statuses("default")]
    )
    assert taken.size_bytes == len(sound)
    until(lambda: place.status(taken) == "ready", seconds=5)


def test_what_a_killed_worker_was_at_is_finished_by_the_next(place: Place) -> None:
    doomed = place.start()
    recording = place.hearing()
    run = place.run()
    doomed.kill()
    doomed.wait()
    place.go.touch()
    place.start()
    until(lambda: place.status(recording) == "ready")
    until(lambda: place.told(recording) == [1] * 4, seconds=5)
    ended = place.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE
    attempts = {
        row["stage"]: row["attempt"] for row in place.services.pipeline.results.lineage(recording)
    }
    assert attempts == dict.fromkeys(STAGES, 1) | {"transcript": 2}


def test_a_hung_worker_is_given_up_and_writes_nothing_when_it_wakes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "STALLED_AFTER_SECONDS", 2.0)
    monkeypatch.setattr(liveness, "_CONFIRM_SECONDS", 0.5)
    monkeypatch.setattr(orphaned_runs, "_GRACE_SECONDS", 0.5)
    hung = place.start()
    recording = place.hearing()
    run = place.run()
    hung.send_signal(signal.SIGSTOP)
    [request] = asked_for_by_the_sensor(place)
    assert place.make(request).success
    assert place.status(recording) == "ready"
    before = place.services.pipeline.results.lineage(recording)
    place.go.touch()
    hung.send_signal(signal.SIGCONT)
    until(lambda: place.services.liveness.is_alive(WORKER))
    later = place.add("later.wav")
    until(lambda: place.status(later) == "ready")
    assert place.services.pipeline.results.lineage(recording) == before
    assert {row["run_id"] for row in before if row["stage"] != "raw_media"} != {run.run_id}
    until(lambda: place.told(recording) == [1] * 4, seconds=5)


def test_a_run_cancelled_in_the_ui_stops_soon_and_hands_back(place: Place) -> None:
    place.start()
    recording = place.hearing()
    run = place.run()
    place.instance.report_run_canceled(run)
    recordings = place.services.pipeline.recordings
    until(lambda: recordings.pending(limit=9) == [recording], seconds=10)
    until(lambda: recordings.pending(limit=9, unrequested=True) == [], seconds=5)
    assert recordings.pending(limit=9) == [recording], "it is not begun again at once"
    assert recordings.dead_letters() == []

    def canceled() -> bool:
        found = place.instance.get_run_by_id(run.run_id)
        return found is not None and found.status is dg.DagsterRunStatus.CANCELED

    until(canceled, seconds=5)


def test_a_worker_told_to_leave_hands_back_at_once(place: Place) -> None:
    worker = place.start()
    recording = place.hearing()
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert place.services.pipeline.recordings.pending(limit=9, unrequested=True) == [recording]
    assert not place.services.liveness.is_alive(WORKER)


class TestOnAServerOfItsOwn:
    @pytest.fixture
    def own_settings(self, tmp_path: Path) -> Iterator[Settings]:
        settings = Settings(home=tmp_path / "home", database_url=None)
        yield settings
        embedded_server(settings).stop()

    def test_a_worker_outlives_restarts_of_postgres_idle_and_at_work(self, place: Place) -> None:
        place.go.touch()
        worker = place.start()
        self.crash(place)
        idle = place.add("after an idle restart.wav")
        until(lambda: place.status(idle) == "ready")
        place.go.unlink()
        at_work = place.hearing()
        self.crash(place)
        place.go.touch()
        until(lambda: place.status(at_work) == "ready", seconds=100)
        assert place.services.pipeline.recordings.dead_letters() == []
        assert worker.poll() is None
        until(lambda: place.told(at_work) == [1] * 4, seconds=5)
        assert place.services.liveness.is_alive(WORKER)

    def crash(self, place: Place) -> None:
        """The server is killed, and its keeper brings it back."""
        server = embedded_server(place.services.settings)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.pid not in (None, pid))
        until(lambda: answers(server.url("postgres")))


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
