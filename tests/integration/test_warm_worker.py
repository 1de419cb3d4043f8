"""A warm worker that dies, hangs, is stopped or loses its database: results are stored once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from pipeline_assets.runs import INGEST_RECORDING
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.coordination.liveness import WORKER, LivenessIntervals, ProcessLiveness
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url, embedded_server
from playhead.services.context import PipelineServices, open_pipeline_services
from sensors.pending_recordings import pending_recordings_sensor
from tests.integration.conftest import stub_engines, write_sound
from tests.support.factories import get_status

pytestmark = pytest.mark.slow  # kills worker processes

REPOSITORY = Path(__file__).parents[2]

#: A warm worker whose transcriber runs until the named file exists.
WORKER_PROGRAM = """
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
class WorkerHome:
    """A home, its Dagster instance, and warm workers in processes of their own."""

    services: PipelineServices
    instance: dg.DagsterInstance
    go: Path
    workers: list[subprocess.Popen[bytes]]

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is alive."""
        settings = self.services.settings
        environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY),
            "PLAYHEAD_HOME": str(settings.home),
        }
        if settings.database_url:
            environment["DATABASE_URL"] = settings.database_url
        with (self.go.parent / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", WORKER_PROGRAM, self.go],
                cwd=REPOSITORY,
                env=environment,
                stderr=log,
            )
        self.workers.append(worker)
        wait_until(lambda: self.services.liveness.is_alive(WORKER))
        return worker

    def add(self, name: str) -> Recording:
        file = write_sound(self.go.parent / name)
        return self.services.ingest.add(file, org_id="default").recording

    def status(self, recording: Recording) -> str:
        return get_status(self.services.pipeline.recordings, recording).status

    def newest_run(self) -> dg.DagsterRun:
        """Return the newest run."""
        [newest_run] = self.instance.get_runs(limit=1)
        return newest_run

    def count_events(self, recording: Recording) -> list[int]:
        """Return how often each stage from the transcript on was reported to Dagster."""
        keys = [dg.AssetKey(stage) for stage in STAGES[1:]]
        found = [self.instance.fetch_materializations(key, limit=99).records for key in keys]
        return [
            sum(record.partition_key == recording.partition_key for record in records)
            for records in found
        ]

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a sensor's run request in this process."""
        definitions = build_definitions(self.services.settings, services=self.services)
        job = definitions.resolve_job_def(INGEST_RECORDING)
        return job.execute_in_process(
            instance=self.instance, tags=dict(request.tags), run_config=dict(request.run_config)
        )

    def add_and_wait(self) -> Recording:
        """Add a recording and wait until a worker transcribes it."""
        recording = self.add(f"{time.monotonic_ns()}.wav")
        wait_until(lambda: self.status(recording) == "transcribing")
        return recording


def wait_for_requests(home: WorkerHome) -> list[dg.RunRequest]:
    """Return the sensor's run requests as soon as there are any."""
    context = dg.build_sensor_context(instance=home.instance, resources={"playhead": home.services})
    requests: list[dg.RunRequest] = []

    def has_requests() -> bool:
        fail_orphaned_runs(home.instance, home.services, grace_seconds=0.5)
        result = pending_recordings_sensor(context)
        if isinstance(result, dg.SensorResult):
            requests.extend(result.run_requests or [])
        return bool(requests)

    wait_until(has_requests)
    return requests


@pytest.fixture
def own_settings(settings: Settings) -> Settings:
    return settings


@pytest.fixture
def home(
    own_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerHome]:
    monkeypatch.setenv("PLAYHEAD_HOME", str(own_settings.home))
    if own_settings.database_url:
        monkeypatch.setenv("DATABASE_URL", own_settings.database_url)
    workers: list[subprocess.Popen[bytes]] = []
    with (
        open_pipeline_services(own_settings, stub_engines()) as services,
        dg.DagsterInstance.from_config(str(REPOSITORY)) as instance,
    ):
        yield WorkerHome(services, instance, tmp_path / "go", workers)
        for worker in workers:
            worker.kill()
            worker.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_worker_starts_a_new_recording_at_once(home: WorkerHome) -> None:
    home.go.touch()
    home.start()
    wait_until(lambda: home.services.liveness.is_alive(WORKER))
    recording = home.add("a.wav")
    wait_until(lambda: home.status(recording) == "ready")
    wait_until(lambda: home.count_events(recording) == [1] * 4)


def test_worker_ingests_an_inbox_file_once_it_is_closed(home: WorkerHome) -> None:
    home.go.touch()
    home.start()
    inbox = home.services.settings.home / "inbox"
    wait_until(inbox.exists)
    sound = write_sound(home.go.parent / "talk.wav").read_bytes()
    with (inbox / "talk.wav").open("wb") as file:
        for byte in range(0, len(sound), len(sound) // 4):
            file.write(sound[byte : byte + len(sound) // 4])
            file.flush()
            time.sleep(0.2)
        assert home.services.pipeline.recordings.statuses("default") == []
    wait_until(lambda: not any(inbox.iterdir()))
    [ingested] = home.services.pipeline.recordings.get_many(
        [recording.id for recording in home.services.pipeline.recordings.statuses("default")]
    )
    assert ingested.size_bytes == len(sound)
    wait_until(lambda: home.status(ingested) == "ready")


def test_recording_of_a_killed_worker_is_finished_by_the_next(home: WorkerHome) -> None:
    killed = home.start()
    recording = home.add_and_wait()
    newest_run = home.newest_run()
    killed.kill()
    killed.wait()
    home.go.touch()
    home.start()
    wait_until(lambda: home.status(recording) == "ready")
    wait_until(lambda: home.count_events(recording) == [1] * 4)
    failed_run = home.instance.get_run_by_id(newest_run.run_id)
    assert failed_run is not None
    assert failed_run.status is dg.DagsterRunStatus.FAILURE
    attempts = {
        row["stage"]: row["attempt"] for row in home.services.pipeline.results.lineage(recording)
    }
    assert attempts == dict.fromkeys(STAGES, 1) | {"transcript": 2}


def test_hung_worker_is_replaced_and_writes_nothing_when_it_wakes(home: WorkerHome) -> None:
    intervals = LivenessIntervals(stalled_after_seconds=2.0, confirm_seconds=0.5)
    watch = ProcessLiveness(Database(app_url(home.services.settings)), intervals)
    home = replace(home, services=replace(home.services, liveness=watch))
    hung_worker = home.start()
    recording = home.add_and_wait()
    newest_run = home.newest_run()
    hung_worker.send_signal(signal.SIGSTOP)
    [request] = wait_for_requests(home)
    assert home.execute(request).success
    assert home.status(recording) == "ready"
    before = home.services.pipeline.results.lineage(recording)
    home.go.touch()
    hung_worker.send_signal(signal.SIGCONT)
    wait_until(lambda: home.services.liveness.is_alive(WORKER))
    later = home.add("later.wav")
    wait_until(lambda: home.status(later) == "ready")
    assert home.services.pipeline.results.lineage(recording) == before
    assert {row["run_id"] for row in before if row["stage"] != "raw_media"} != {newest_run.run_id}
    wait_until(lambda: home.count_events(recording) == [1] * 4)


def test_worker_stops_a_cancelled_run_and_releases_it(home: WorkerHome) -> None:
    home.start()
    recording = home.add_and_wait()
    newest_run = home.newest_run()
    home.instance.report_run_canceled(newest_run)
    recordings = home.services.pipeline.recordings
    wait_until(lambda: recordings.pending(limit=9) == [recording], seconds=10)
    wait_until(lambda: recordings.pending(limit=9, unrequested=True) == [])
    assert recordings.pending(limit=9) == [recording], "it is not begun again at once"
    assert recordings.dead_letters() == []

    def canceled() -> bool:
        found = home.instance.get_run_by_id(newest_run.run_id)
        return found is not None and found.status is dg.DagsterRunStatus.CANCELED

    wait_until(canceled)


def test_stopped_worker_releases_its_recording_at_once(home: WorkerHome) -> None:
    worker = home.start()
    recording = home.add_and_wait()
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert home.services.pipeline.recordings.pending(limit=9, unrequested=True) == [recording]
    assert not home.services.liveness.is_alive(WORKER)


class TestOwnServer:
    @pytest.fixture
    def own_settings(self, tmp_path: Path) -> Iterator[Settings]:
        settings = Settings(home=tmp_path / "home", database_url=None)
        yield settings
        embedded_server(settings).stop()

    def test_worker_survives_restarts_of_postgres(self, home: WorkerHome) -> None:
        home.go.touch()
        worker = home.start()
        self.kill_server(home)
        idle = home.add("after an idle restart.wav")
        wait_until(lambda: home.status(idle) == "ready")
        home.go.unlink()
        busy = home.add_and_wait()
        self.kill_server(home)
        home.go.touch()
        wait_until(lambda: home.status(busy) == "ready", seconds=100)
        assert home.services.pipeline.recordings.dead_letters() == []
        assert worker.poll() is None
        wait_until(lambda: home.count_events(busy) == [1] * 4)
        assert home.services.liveness.is_alive(WORKER)

    def kill_server(self, home: WorkerHome) -> None:
        """Kill the server and wait until its supervisor has restarted it."""
        server = embedded_server(home.services.settings)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.pid not in (None, pid))
        wait_until(lambda: accepts_connections(server.url("postgres")))


def accepts_connections(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
