"""An inbox in a bucket: what is dropped there is taken once and whole, and leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.ops.ingest_file import ingest_from_inbox
from playhead.core.errors import StorageAccessDenied
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.media.object_storage import PART_BYTES
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.context import PipelineServices
from sensors.inbox import inbox_sensor
from tests.integration.conftest import write_sound
from tests.support.s3_server import TcpProxy, wait_until_visible


@pytest.fixture
def settings(
    fresh_database: Callable[[], str], tmp_path: Path, url: str, line: TcpProxy
) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=fresh_database(),
        inbox=f"{url}/inbox",
        s3_endpoint=line.endpoint,
    )


@pytest.fixture
def dropped(bucket_folder: Path) -> Path:
    """The server's folder of what is in the inbox."""
    folder = bucket_folder / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def tick(services: PipelineServices, instance: dg.DagsterInstance) -> Callable[[], dg.SensorResult]:
    """The inbox sensor, tick by tick, with its cursor."""
    cursor: list[str | None] = [None]

    def tick() -> dg.SensorResult:
        wait_until_visible()
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor[-1], resources={"playhead": services}
        )
        result = inbox_sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor.append(result.cursor)
        return result

    return tick


def names(dropped: Path) -> list[str]:
    """Of what is in the inbox; the server removes a folder with the last object in it."""
    return [path.name for path in dropped.glob("*")]


def titles(services: PipelineServices) -> list[str]:
    return sorted(status.title for status in services.pipeline.recordings.statuses("default"))


def test_an_object_is_taken_when_two_looks_saw_the_same_and_leaves(
    services: PipelineServices, dropped: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    sound = write_sound(dropped / "A talk, part 1.wav").read_bytes()
    tick()
    (dropped / "A talk, part 1.wav").write_bytes(sound + b"more")
    tick()
    assert titles(services) == []
    tick()
    assert titles(services) == ["A talk, part 1"]
    assert names(dropped) == []
    (recording,) = services.pipeline.recordings.get_many(
        [recording.id for recording in services.pipeline.recordings.statuses("default")]
    )
    assert recording.suffix == ".wav"
    with services.files.media.open_local(recording) as path:
        assert path.read_bytes() == sound + b"more"
    assert list((services.settings.home / "spool").iterdir()) == []


def test_hidden_objects_and_those_in_folders_are_left_alone(
    services: PipelineServices, dropped: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    (dropped / "deeper").mkdir()
    left = [write_sound(dropped / name) for name in (".upload.wav", "deeper/b.wav")]
    tick()
    tick()
    assert titles(services) == []
    assert all(path.exists() for path in left)


def test_one_that_cannot_be_had_stops_no_other(
    services: PipelineServices, dropped: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    # The server lists this name and finds nothing by it.
    unreadable = dropped / os.fsdecode(b"a caf\xe9.wav")
    unreadable.write_bytes(b"not to be had")
    write_sound(dropped / "good.wav")
    tick()
    tick()
    assert titles(services) == ["good"]
    assert names(dropped) == [unreadable.name]


def test_a_listing_that_fails_is_not_an_empty_inbox(
    dropped: Path, bucket_folder: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    write_sound(dropped / "talk.wav")
    seen = tick().cursor
    bucket_folder.rename(bucket_folder.with_name("elsewhere"))
    with pytest.raises(StorageAccessDenied, match="no bucket"):
        tick()
    bucket_folder.with_name("elsewhere").rename(bucket_folder)
    assert tick().cursor != "{}"
    assert seen != "{}"
    assert names(dropped) == []


def test_the_same_bytes_under_two_names_are_one_recording(
    services: PipelineServices, dropped: Path
) -> None:
    sound = write_sound(dropped / "talk.wav").read_bytes()
    (dropped / "copy.wav").write_bytes(sound)
    wait_until_visible()
    first, second = (ingest_from_inbox(services, name) for name in ("talk.wav", "copy.wav"))
    assert second.duplicate
    assert second.recording == first.recording
    assert names(dropped) == []


def test_one_that_is_replaced_while_it_is_taken_stays(
    services: PipelineServices, dropped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(dropped / "talk.wav")
    wait_until_visible()
    register = Recordings.add

    def written_to(recordings: Recordings, recording: Recording) -> Recording:
        (dropped / "talk.wav").write_bytes(b"another talk")
        wait_until_visible()
        return register(recordings, recording)

    monkeypatch.setattr(Recordings, "add", written_to)
    ingest_from_inbox(services, "talk.wav")
    assert (dropped / "talk.wav").read_bytes() == b"another talk"


def test_a_line_cut_while_it_is_taken_is_gone_on_with(
    services: PipelineServices, dropped: Path, line: TcpProxy
) -> None:
    whole = os.urandom(2 * PART_BYTES + 1000)
    (dropped / "long.wav").write_bytes(whole)
    wait_until_visible()
    line.cut_when_received = line.received + int(len(whole) * 0.6)
    arrival = ingest_from_inbox(services, "long.wav")
    assert line.cuts == 1
    with services.files.media.open_local(arrival.recording) as path:
        assert path.read_bytes() == whole
    assert line.received < len(whole) + PART_BYTES


def test_one_that_is_gone_was_taken_by_somebody_else(
    services: PipelineServices, dropped: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        ingest_from_inbox(services, "talk.wav")
    assert names(dropped) == []
