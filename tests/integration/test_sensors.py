"""Sensors: the inbox, pending recordings, and lost retries."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.ops.ingest_file import ingest_from_inbox
from pipeline_assets.policies import SENSOR_GRACE_SECONDS
from pipeline_assets.runs import INGEST_RECORDING
from pipeline_assets.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from playhead.core.records import Recording
from playhead.inbox.local import InboxFolder
from playhead.inbox.protocol import StabilityTracker
from playhead.postgres.coordination.liveness import WORKER, run_role
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.context import PipelineServices
from sensors.inbox import inbox_sensor
from sensors.lost_retries import find_lost_retries, lost_retries_sensor
from sensors.orphaned_runs import orphaned_runs_sensor
from sensors.pending_recordings import pending_recordings_sensor
from tests.integration.conftest import Pipeline, write_sound
from tests.support.time_travel import requires_real_clock

Add = Callable[[str], Recording]


@pytest.fixture
def folder(services: PipelineServices) -> Path:
    folder = services.settings.home / "inbox"
    folder.mkdir(parents=True)
    return folder


class InboxTicker:
    """Runs the inbox sensor tick by tick and stores its cursor."""

    def __init__(self, services: PipelineServices, instance: dg.DagsterInstance) -> None:
        self.services = services
        self._instance = instance
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self.cursor, resources={"playhead": self.services}
        )
        result = inbox_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or [])


class OldFilesInbox(InboxFolder):
    """An inbox whose files all arrived long ago."""

    def age(self, name: str) -> float:
        return 10 * SENSOR_GRACE_SECONDS


@pytest.fixture
def ticker(services: PipelineServices, instance: dg.DagsterInstance) -> InboxTicker:
    return InboxTicker(services, instance)


def tick_pending_sensor(
    services: PipelineServices, instance: dg.DagsterInstance
) -> list[dg.RunRequest]:
    """Tick the pending recordings sensor and add its partitions as the daemon would."""
    result = pending_recordings_sensor(
        dg.build_sensor_context(instance=instance, resources={"playhead": services})
    )
    if isinstance(result, dg.SkipReason):
        return []
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("recordings", list(request.partition_keys))
    return list(result.run_requests or [])


def age_requests(services: PipelineServices) -> None:
    """Move the times of all run requests two hours into the past."""
    import psycopg

    with psycopg.connect(str(services.settings.database_url)) as connection:
        connection.execute("update recordings set requested_at = now() - interval '2 hours'")


def list_titles(services: PipelineServices) -> list[str]:
    return [status.title for status in services.pipeline.recordings.statuses("default")]


def test_inbox_file_is_ingested_once_it_is_unchanged_between_two_ticks(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    file = write_sound(folder / "talk.wav")
    ticker.tick()
    assert list_titles(services) == []
    with file.open("ab") as stream:
        stream.write(b"more")
    ticker.tick()
    assert list_titles(services) == []
    ticker.tick()
    assert list_titles(services) == ["talk"]
    assert not file.exists()


def test_inbox_file_that_cannot_be_stored_stays(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    file = write_sound(folder / "talk.wav")
    (services.settings.home / "media").write_text("a file where the store's folder should be")
    ticker.tick()
    ticker.tick()
    assert file.exists()
    assert list_titles(services) == []
    (services.settings.home / "media").unlink()
    ticker.tick()
    assert list_titles(services) == ["talk"]


def test_inbox_that_cannot_be_listed_is_not_empty(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    write_sound(folder / "talk.wav")
    ticker.tick()
    before = ticker.cursor
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("not a folder")
    with pytest.raises(OSError, match="inbox"):
        ticker.tick()
    assert ticker.cursor == before


def test_inbox_files_with_the_same_bytes_are_one_recording(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    first = write_sound(folder / "talk.wav")
    (folder / "copy.wav").write_bytes(first.read_bytes())
    ticker.tick()
    ticker.tick()
    assert len(list_titles(services)) == 1
    assert list(folder.iterdir()) == []


def test_inbox_skips_hidden_files_and_folders(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    write_sound(folder / ".partial.wav")
    (folder / "folder").mkdir()
    ticker.tick()
    ticker.tick()
    assert list_titles(services) == []


def test_inbox_file_over_the_limit_gets_its_own_run(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    with (folder / "long.wav").open("wb") as file:
        os.truncate(file.fileno(), (1 << 30) + 1)  # sparse: takes no disk
    ticker.tick()
    [request] = ticker.tick()
    assert request.run_config["ops"]["ingest_file"]["config"]["name"] == "long.wav"
    assert list_titles(services) == []


def test_inbox_names_are_not_interpreted() -> None:
    names = {"-rf": (1, 2), "a\nb": (3, 4), '{"x":1}': (5, 6)}
    stored = json.loads(json.dumps(dict(names)))  # lists, as an unchecked cursor would have them
    assert StabilityTracker(stable_seconds=0, seen=stored).complete(names, 0.0) == []
    assert StabilityTracker(stable_seconds=0, seen=names).complete(names, 0.0) == list(names)


def test_pending_recordings_are_requested_once(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(3)]
    [request] = tick_pending_sensor(services, instance)
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == recordings[0].partition_key
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == recordings[-1].partition_key
    assert tick_pending_sensor(services, instance) == []


def test_request_without_effect_is_repeated(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    assert len(tick_pending_sensor(services, instance)) == 1
    age_requests(services)
    [request] = tick_pending_sensor(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == recording.partition_key


def test_new_recordings_are_left_to_a_running_worker(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    with services.liveness.hold(WORKER):
        assert tick_pending_sensor(services, instance) == []
    [request] = tick_pending_sensor(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == recording.partition_key


def test_recordings_not_taken_by_the_worker_are_requested(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    services.pipeline.recordings.mark_requested([recording.id])
    age_requests(services)
    with services.liveness.hold(WORKER):
        [request] = tick_pending_sensor(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == recording.partition_key


@requires_real_clock
def test_inbox_files_are_left_to_a_running_worker(
    services: PipelineServices, folder: Path, ticker: InboxTicker
) -> None:
    write_sound(folder / "talk.wav")
    with services.liveness.hold(WORKER):
        ticker.tick()
        ticker.tick()
        assert list_titles(services) == []
        files = replace(services.files, inbox=OldFilesInbox(folder))
        ticker.services = replace(services, files=files)
        ticker.tick()
        assert list_titles(services) == ["talk"]


def test_concurrent_ingestion_of_inbox_files_loses_nothing(
    services: PipelineServices, folder: Path
) -> None:
    files = [write_sound(folder / f"{number}.wav") for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        futures = [
            pool.submit(ingest_from_inbox, services, file.name) for file in files for _ in range(4)
        ]
    results = [future.result() for future in futures if future.exception() is None]
    assert {result.recording.id for result in results} == {
        status.id for status in services.pipeline.recordings.statuses("default")
    }
    assert sorted(list_titles(services)) == [str(number) for number in range(8)]
    assert all(isinstance(future.exception(), FileNotFoundError | None) for future in futures)
    assert list(folder.iterdir()) == []


def test_inbox_file_changed_during_ingestion_is_not_removed(
    services: PipelineServices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_sound(folder / "talk.wav")
    register = Recordings.add

    def append_and_add(recordings: Recordings, recording: Recording) -> Recording:
        with file.open("ab") as stream:
            stream.write(b"more")
        return register(recordings, recording)

    monkeypatch.setattr(Recordings, "add", append_and_add)
    ingest_from_inbox(services, file.name)
    assert file.exists()


def start_run(pipeline: Pipeline, request: dg.RunRequest) -> dg.DagsterRun:
    return pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("ingest_recording"),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )


def test_recordings_of_a_live_run_are_not_requested(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    add("a.wav")
    [request] = tick_pending_sensor(services, instance)
    run = start_run(pipeline, request)
    with services.liveness.hold(run_role(run.run_id)):
        age_requests(services)
        assert tick_pending_sensor(services, instance) == []
    instance.report_run_failed(run)
    assert len(tick_pending_sensor(services, instance)) == 1


def test_run_of_a_dead_worker_is_failed_and_its_recordings_requested(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    add("a.wav")
    [request] = tick_pending_sensor(services, instance)
    run = start_run(pipeline, request)
    age_requests(services)
    orphaned_runs_sensor(
        dg.build_sensor_context(instance=instance, resources={"playhead": services})
    )
    assert len(tick_pending_sensor(services, instance)) == 1
    failed_run = instance.get_run_by_id(run.run_id)
    assert failed_run is not None
    assert failed_run.status is dg.DagsterRunStatus.FAILURE


def test_ready_and_failed_recordings_are_not_requested(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    good, bad = add("a.wav"), add("b.txt")
    pipeline.run(good, bad)
    age_requests(services)
    assert tick_pending_sensor(services, instance) == []
    services.pipeline.recordings.requeue("default", [bad.id])
    [request] = tick_pending_sensor(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == bad.partition_key


@pytest.fixture
def many_recordings(add: Add) -> None:
    for number in range(120):
        add(f"{number}.wav")


@pytest.mark.usefixtures("many_recordings")
def test_many_pending_recordings_share_runs(
    services: PipelineServices, instance: dg.DagsterInstance
) -> None:
    first, second = tick_pending_sensor(services, instance)
    assert {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG} <= set(first.tags)
    assert {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG} <= set(second.tags)


# Lost retries


@pytest.fixture
def retrying() -> Iterator[dg.DagsterInstance]:
    """Yield an instance that retries the runs of dead workers, like the configured one."""
    retry_settings = {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}
    with dg.DagsterInstance.local_temp(overrides={"run_retries": retry_settings}) as instance:
        yield instance


@dg.job(name=INGEST_RECORDING)
def empty_job() -> None:
    """Stand in for the job of this name."""


def tick_retries_sensor(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    result = lost_retries_sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def make_dead_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """Return a backfill's failed run that the daemon could not retry."""
    run_tags = {
        ASSET_PARTITION_RANGE_START_TAG: "a",
        ASSET_PARTITION_RANGE_END_TAG: "c",
        "dagster/backfill": "b",
    }
    run = instance.create_run_for_job(empty_job, tags=run_tags)
    instance.report_run_failed(run, "Its worker died without a word.")
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false", **tags})
    return run


def test_lost_retry_is_requested_again(retrying: dg.DagsterInstance) -> None:
    run = make_dead_run(retrying)
    [request] = tick_retries_sensor(retrying)
    assert request.run_key == f"again {run.run_id}"
    expected = {
        ASSET_PARTITION_RANGE_START_TAG: "a",
        ASSET_PARTITION_RANGE_END_TAG: "c",
        "dagster/backfill": "b",
    }
    assert expected.items() <= request.tags.items()


def test_missing_retry_is_found_after_a_pause(retrying: dg.DagsterInstance) -> None:
    run = make_dead_run(retrying, **{"dagster/will_retry": "true"})
    assert tick_retries_sensor(retrying) == []
    [lost] = find_lost_retries(retrying, grace=timedelta(0))
    assert lost.run_id == run.run_id
    stored_run = retrying.get_run_by_id(run.run_id)
    assert stored_run is not None
    assert not stored_run.is_complete_and_waiting_to_retry, "else its backfill waits endlessly"


def test_runs_that_dagster_does_not_retry_are_skipped(retrying: dg.DagsterInstance) -> None:
    make_dead_run(retrying, **{"dagster/failure_reason": "STEP_FAILURE"})
    make_dead_run(retrying, **{"dagster/max_retries": "0"})
    make_dead_run(retrying, **{"dagster/auto_retry_run_id": "another"})
    assert tick_retries_sensor(retrying) == []
