"""Sensors: what is taken in, what is asked for, and never twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.ops.ingest_file import ingest_from_inbox
from pipeline_assets.runs import INGEST_RECORDING
from pipeline_assets.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from playhead.core.records import Recording
from playhead.inbox.protocol import unchanged_files
from playhead.postgres.coordination.liveness import WORKER, run_role
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.context import PipelineServices
from sensors.inbox import inbox_sensor
from sensors.lost_retries import lost_retries_sensor
from sensors.pending_recordings import pending_recordings_sensor
from tests.integration.conftest import Pipeline, write_sound
from tests.support.time_travel import requires_real_clock

Add = Callable[[str], Recording]


@pytest.fixture
def folder(services: PipelineServices) -> Path:
    folder = services.settings.home / "inbox"
    folder.mkdir(parents=True)
    return folder


class Watcher:
    """The inbox sensor, tick by tick, with its cursor."""

    def __init__(self, services: PipelineServices, instance: dg.DagsterInstance) -> None:
        self._services = services
        self._instance = instance
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self.cursor, resources={"playhead": self._services}
        )
        result = inbox_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or [])


@pytest.fixture
def watcher(services: PipelineServices, instance: dg.DagsterInstance) -> Watcher:
    return Watcher(services, instance)


def ask(services: PipelineServices, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """A tick of the uploads sensor; its partitions are added as the daemon would."""
    result = pending_recordings_sensor(
        dg.build_sensor_context(instance=instance, resources={"playhead": services})
    )
    if isinstance(result, dg.SkipReason):
        return []
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("recordings", list(request.partition_keys))
    return list(result.run_requests or [])


def long_ago(services: PipelineServices) -> None:
    """As if all requests were made two hours ago."""
    import psycopg

    with psycopg.connect(str(services.settings.database_url)) as connection:
        connection.execute("update recordings set requested_at = now() - interval '2 hours'")


def titles(services: PipelineServices) -> list[str]:
    return [status.title for status in services.pipeline.recordings.statuses("default")]


def test_a_file_is_taken_when_it_kept_still_for_two_looks(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    file = write_sound(folder / "talk.wav")
    watcher.tick()
    assert titles(services) == []
    with file.open("ab") as growing:
        growing.write(b"more")
    watcher.tick()
    assert titles(services) == []
    watcher.tick()
    assert titles(services) == ["talk"]
    assert not file.exists()


def test_a_file_that_cannot_be_stored_stays_in_the_inbox(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    file = write_sound(folder / "talk.wav")
    (services.settings.home / "media").write_text("a file where the store's folder should be")
    watcher.tick()
    watcher.tick()
    assert file.exists()
    assert titles(services) == []
    (services.settings.home / "media").unlink()
    watcher.tick()
    assert titles(services) == ["talk"]


def test_a_look_that_fails_is_not_an_empty_inbox(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    write_sound(folder / "talk.wav")
    watcher.tick()
    before = watcher.cursor
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("not a folder")
    with pytest.raises(OSError, match="inbox"):
        watcher.tick()
    assert watcher.cursor == before


def test_the_same_bytes_again_are_taken_and_remain_one_recording(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    first = write_sound(folder / "talk.wav")
    (folder / "copy.wav").write_bytes(first.read_bytes())
    watcher.tick()
    watcher.tick()
    assert len(titles(services)) == 1
    assert list(folder.iterdir()) == []


def test_hidden_files_and_folders_are_left_alone(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    write_sound(folder / ".partial.wav")
    (folder / "folder").mkdir()
    watcher.tick()
    watcher.tick()
    assert titles(services) == []


def test_a_very_large_file_gets_a_run_of_its_own_and_only_one(
    services: PipelineServices, folder: Path, watcher: Watcher
) -> None:
    with (folder / "long.wav").open("wb") as file:
        os.truncate(file.fileno(), (1 << 30) + 1)  # sparse: takes no disk
    watcher.tick()
    [request] = watcher.tick()
    assert request.run_config["ops"]["ingest_file"]["config"]["name"] == "long.wav"
    assert titles(services) == []


def test_names_that_break_things_are_only_names() -> None:
    names = {"-rf": (1, 2), "a\nb": (3, 4), '{"x":1}': (5, 6)}
    assert unchanged_files(json.loads(json.dumps(dict(names))), names) == []
    assert unchanged_files(names, names) == list(names)


def test_what_waits_is_asked_for_once(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(3)]
    [request] = ask(services, instance)
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == recordings[0].id
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == recordings[-1].id
    assert ask(services, instance) == []


def test_a_request_that_led_to_nothing_is_made_again(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    assert len(ask(services, instance)) == 1
    long_ago(services)
    [again] = ask(services, instance)
    assert again.tags[PARTITION_NAME_TAG] == recording.partition_key


def test_what_is_new_is_left_to_a_worker_that_attends(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    with services.liveness.hold(WORKER):
        assert ask(services, instance) == []
    [request] = ask(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == recording.partition_key


def test_what_an_attending_worker_does_not_take_is_asked_for_in_the_end(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    services.pipeline.recordings.mark_requested([recording.id])
    long_ago(services)
    with services.liveness.hold(WORKER):
        [request] = ask(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == recording.partition_key


@requires_real_clock
def test_new_files_are_left_to_a_worker_that_attends(
    services: PipelineServices, folder: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(folder / "talk.wav")
    with services.liveness.hold(WORKER):
        watcher.tick()
        watcher.tick()
        assert titles(services) == []
        monkeypatch.setattr("sensors.inbox.SENSOR_GRACE_SECONDS", 0.0)
        watcher.tick()
        assert titles(services) == ["talk"]


def test_two_that_take_the_same_file_make_one_recording_and_lose_nothing(
    services: PipelineServices, folder: Path
) -> None:
    files = [write_sound(folder / f"{number}.wav") for number in range(8)]
    with ThreadPoolExecutor(4) as takers:
        taken = [
            takers.submit(ingest_from_inbox, services, file.name)
            for file in files
            for _ in range(4)
        ]
    arrivals = [future.result() for future in taken if future.exception() is None]
    assert {arrival.recording.id for arrival in arrivals} == {
        status.id for status in services.pipeline.recordings.statuses("default")
    }
    assert sorted(titles(services)) == [str(number) for number in range(8)]
    assert all(isinstance(future.exception(), FileNotFoundError | None) for future in taken)
    assert list(folder.iterdir()) == []


def test_a_file_that_changes_while_it_is_taken_is_not_removed(
    services: PipelineServices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_sound(folder / "talk.wav")
    register = Recordings.add

    def written_to(recordings: Recordings, recording: Recording) -> Recording:
        with file.open("ab") as growing:
            growing.write(b"more")
        return register(recordings, recording)

    monkeypatch.setattr(Recordings, "add", written_to)
    ingest_from_inbox(services, file.name)
    assert file.exists()


def started_run(pipeline: Pipeline, request: dg.RunRequest) -> dg.DagsterRun:
    return pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("ingest_recording"),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )


def test_what_a_living_run_will_do_is_not_asked_for(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    add("a.wav")
    [request] = ask(services, instance)
    run = started_run(pipeline, request)
    with services.liveness.hold(run_role(run.run_id)):
        long_ago(services)
        assert ask(services, instance) == []
    instance.report_run_failed(run)
    assert len(ask(services, instance)) == 1


def test_a_run_whose_worker_is_gone_is_ended_and_its_work_asked_for(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    add("a.wav")
    [request] = ask(services, instance)
    run = started_run(pipeline, request)
    long_ago(services)
    assert len(ask(services, instance)) == 1
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE


def test_ready_and_failed_recordings_are_not_asked_for(
    services: PipelineServices, instance: dg.DagsterInstance, pipeline: Pipeline, add: Add
) -> None:
    good, bad = add("a.wav"), add("b.txt")
    pipeline.run(good, bad)
    long_ago(services)
    assert ask(services, instance) == []
    services.pipeline.recordings.requeue("default", [bad.id])
    [request] = ask(services, instance)
    assert request.tags[PARTITION_NAME_TAG] == bad.partition_key


@pytest.fixture
def _many(add: Add) -> None:
    for number in range(120):
        add(f"{number}.wav")


@pytest.mark.usefixtures("_many")
def test_many_waiting_recordings_share_runs(
    services: PipelineServices, instance: dg.DagsterInstance
) -> None:
    first, second = ask(services, instance)
    assert {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG} <= set(first.tags)
    assert {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG} <= set(second.tags)


# A retry that Dagster lost


@pytest.fixture
def retrying() -> Iterator[dg.DagsterInstance]:
    """An instance that tries dead workers' runs again, as ours does."""
    retried = {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}
    with dg.DagsterInstance.local_temp(overrides={"run_retries": retried}) as instance:
        yield instance


@dg.job(name=INGEST_RECORDING)
def bare() -> None:
    """By its name the job that makes recordings."""


def asked_again(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    result = lost_retries_sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def dead_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """A backfill's, whose worker died and which the daemon could not ask for again."""
    where = {
        ASSET_PARTITION_RANGE_START_TAG: "a",
        ASSET_PARTITION_RANGE_END_TAG: "c",
        "dagster/backfill": "b",
    }
    run = instance.create_run_for_job(bare, tags=where)
    instance.report_run_failed(run, "Its worker died without a word.")
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false", **tags})
    return run


def test_a_retry_that_dagster_lost_is_asked_for_again(retrying: dg.DagsterInstance) -> None:
    run = dead_run(retrying)
    [again] = asked_again(retrying)
    assert again.run_key == f"again {run.run_id}"
    wanted = {
        ASSET_PARTITION_RANGE_START_TAG: "a",
        ASSET_PARTITION_RANGE_END_TAG: "c",
        "dagster/backfill": "b",
    }
    assert wanted.items() <= again.tags.items()


def test_a_retry_that_never_came_is_asked_for_after_a_minute(
    retrying: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dead_run(retrying, **{"dagster/will_retry": "true"})
    assert asked_again(retrying) == []
    monkeypatch.setattr("sensors.lost_retries._GRACE", timedelta(0))
    [again] = asked_again(retrying)
    assert again.run_key == f"again {run.run_id}"
    left = retrying.get_run_by_id(run.run_id)
    assert left is not None
    assert not left.is_complete_and_waiting_to_retry, "or its backfill would wait for ever"


def test_what_dagster_would_not_have_tried_again_is_left(retrying: dg.DagsterInstance) -> None:
    dead_run(retrying, **{"dagster/failure_reason": "STEP_FAILURE"})
    dead_run(retrying, **{"dagster/max_retries": "0"})
    dead_run(retrying, **{"dagster/auto_retry_run_id": "another"})
    assert asked_again(retrying) == []
