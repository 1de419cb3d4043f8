"""Fixtures with a database per test: a pipeline driver, services with stub engines, and Dagster."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.planning.plan_runs import run_requests_for_plans
from pipeline_assets.runs import INGEST_RECORDING
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.context import PipelineServices, open_pipeline_services
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.s3_server import KEY, SECRET, S3Server, TcpProxy, open_proxy, serve_s3
from tests.support.time_travel import CLOCK_MOVED

_bucket_numbers = itertools.count()


@pytest.fixture
def recordings(database: Database) -> Recordings:
    return Recordings(database)


@pytest.fixture
def worker(database: Database) -> Iterator[PipelineDriver]:
    worker = PipelineDriver(database)
    yield worker
    worker.results.close()


@pytest.fixture
def recording(database: Database) -> Recording:
    return factories.add_recording(database)


@pytest.fixture
def probed(database: Database) -> Recording:
    """Return a recording that has been probed, so that its transcript is next."""
    recording = factories.add_recording(database)
    PipelineDriver(database).probe(recording)
    return recording


def stub_engines() -> Engines:
    embedders = EmbedderRegistry("stub", {"stub": StubEmbedder})
    return Engines(StubTranscriber(), ExtractiveWriter(), embedders)


@pytest.fixture
def settings(fresh_database: Callable[[], str], tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", database_url=fresh_database())


@pytest.fixture
def services(settings: Settings) -> Iterator[PipelineServices]:
    with open_pipeline_services(settings, stub_engines()) as services:
        yield services


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dataclass(frozen=True)
class Pipeline:
    """Dagster's definitions and instance over the services."""

    services: PipelineServices
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def run(self, *recordings: Recording, only: tuple[str, ...] = ()) -> dg.ExecuteInProcessResult:
        """Run the recordings, which must be consecutive partitions, in one Dagster run."""
        keys = [recording.partition_key for recording in recordings]
        self.instance.add_dynamic_partitions("recordings", keys)
        return self.definitions.resolve_job_def(INGEST_RECORDING).execute_in_process(
            instance=self.instance,
            tags={
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            },
            asset_selection=[dg.AssetKey(name) for name in only] or None,
            raise_on_error=False,
        )

    def run_plans(self) -> int:
        """Run all that open plans need, and return the number of runs."""
        keys = self.instance.get_dynamic_partitions("recordings")
        runs = 0
        while planned := list(run_requests_for_plans(self.services, keys)):
            for run in planned:
                runs += 1
                self.services.pipeline.recordings.mark_requested(run.ids)
                self.definitions.resolve_job_def(run.job).execute_in_process(
                    instance=self.instance,
                    tags=dict(run.tags),
                    run_config=run.run_config,
                    asset_selection=run.assets,
                    raise_on_error=False,
                )
        return runs

    def materialised(self, asset: str) -> set[str]:
        keys = self.instance.get_materialized_partitions(dg.AssetKey(asset))
        found = self.services.pipeline.recordings.by_partition_keys(sorted(keys))
        ids = {recording.partition_key: recording.id for recording in found}
        return {ids.get(key, key) for key in keys}


@pytest.fixture
def pipeline(services: PipelineServices, instance: dg.DagsterInstance) -> Pipeline:
    return Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )


@pytest.fixture
def add(services: PipelineServices, tmp_path: Path) -> Callable[[str], Recording]:
    """Return a function that ingests a file by name: a short unique sound, or a text if it ends in
    .txt."""

    def add(name: str) -> Recording:
        file = tmp_path / name
        if file.suffix == ".txt":
            file.write_text("no sound here")
        else:
            write_sound(file)
        return services.ingest.add(file, org_id="default").recording

    return add


def write_sound(file: Path) -> Path:
    """Write half a second of sound that no file of another name has."""
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes((file.name.encode() * 16_000)[:16_000])
    return file


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield an S3 server."""
    if CLOCK_MOVED:
        pytest.skip("rclone has the kernel's clock and takes signatures of another day for stolen")
    with serve_s3(tmp_path_factory.mktemp("buckets") / "served") as server:
        yield server


@pytest.fixture
def proxy(object_server: S3Server) -> Iterator[TcpProxy]:
    with open_proxy(object_server) as proxy:
        yield proxy


@pytest.fixture
def bucket_folder(object_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a bucket of the test's own; credentials are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return object_server.bucket(f"bucket-{next(_bucket_numbers)}")


@pytest.fixture
def url(bucket_folder: Path) -> str:
    return f"s3://{bucket_folder.name}"
