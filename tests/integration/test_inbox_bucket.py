"""An inbox in a bucket: every object is ingested once, completely, and then removed."""

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
    fresh_database: Callable[[], str], tmp_path: Path, url: str, proxy: TcpProxy
) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=fresh_database(),
        inbox=f"{url}/inbox",
        s3_endpoint=proxy.endpoint,
    )


@pytest.fixture
def inbox_folder(bucket_folder: Path) -> Path:
    """Return the server's folder of the inbox."""
    folder = bucket_folder / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def tick(services: PipelineServices, instance: dg.DagsterInstance) -> Callable[[], dg.SensorResult]:
    """Return a function that runs the inbox sensor once and stores its cursor."""
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


def list_names(inbox_folder: Path) -> list[str]:
    """Return the names in the inbox; the server removes a folder with its last object."""
    return [path.name for path in inbox_folder.glob("*")]


def list_titles(services: PipelineServices) -> list[str]:
    return sorted(status.title for status in services.pipeline.recordings.statuses("default"))


def test_object_is_ingested_once_it_is_unchanged_between_two_ticks(
    services: PipelineServices, inbox_folder: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    sound = write_sound(inbox_folder / "A talk, part 1.wav").read_bytes()
    tick()
    (inbox_folder / "A talk, part 1.wav").write_bytes(sound + b"more")
    tick()
    assert list_titles(services) == []
    tick()
    assert list_titles(services) == ["A talk, part 1"]
    assert list_names(inbox_folder) == []
    (recording,) = services.pipeline.recordings.get_many(
        [recording.id for recording in services.pipeline.recordings.statuses("default")]
    )
    assert recording.suffix == ".wav"
    with services.files.media.open_local(recording) as path:
        assert path.read_bytes() == sound + b"more"
    assert list((services.settings.home / "spool").iterdir()) == []


def test_hidden_objects_and_folders_are_skipped(
    services: PipelineServices, inbox_folder: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    (inbox_folder / "deeper").mkdir()
    skipped = [write_sound(inbox_folder / name) for name in (".upload.wav", "deeper/b.wav")]
    tick()
    tick()
    assert list_titles(services) == []
    assert all(path.exists() for path in skipped)


def test_unreadable_object_does_not_stop_others(
    services: PipelineServices, inbox_folder: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    # The server lists this name and finds nothing by it.
    unreadable = inbox_folder / os.fsdecode(b"a caf\xe9.wav")
    unreadable.write_bytes(b"not to be had")
    write_sound(inbox_folder / "good.wav")
    tick()
    tick()
    assert list_titles(services) == ["good"]
    assert list_names(inbox_folder) == [unreadable.name]


def test_failed_listing_is_not_an_empty_inbox(
    inbox_folder: Path, bucket_folder: Path, tick: Callable[[], dg.SensorResult]
) -> None:
    write_sound(inbox_folder / "talk.wav")
    first_cursor = tick().cursor
    bucket_folder.rename(bucket_folder.with_name("elsewhere"))
    with pytest.raises(StorageAccessDenied, match="no bucket"):
        tick()
    bucket_folder.with_name("elsewhere").rename(bucket_folder)
    assert tick().cursor != "{}"
    assert first_cursor != "{}"
    assert list_names(inbox_folder) == []


def test_same_bytes_under_two_names_are_one_recording(
    services: PipelineServices, inbox_folder: Path
) -> None:
    sound = write_sound(inbox_folder / "talk.wav").read_bytes()
    (inbox_folder / "copy.wav").write_bytes(sound)
    wait_until_visible()
    first, second = (ingest_from_inbox(services, name) for name in ("talk.wav", "copy.wav"))
    assert second.duplicate
    assert second.recording == first.recording
    assert list_names(inbox_folder) == []


def test_object_replaced_during_ingestion_stays(
    services: PipelineServices, inbox_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(inbox_folder / "talk.wav")
    wait_until_visible()
    register = Recordings.add

    def replace_and_add(recordings: Recordings, recording: Recording) -> Recording:
        (inbox_folder / "talk.wav").write_bytes(b"another talk")
        wait_until_visible()
        return register(recordings, recording)

    monkeypatch.setattr(Recordings, "add", replace_and_add)
    ingest_from_inbox(services, "talk.wav")
    assert (inbox_folder / "talk.wav").read_bytes() == b"another talk"


def test_interrupted_download_is_resumed(
    services: PipelineServices, inbox_folder: Path, proxy: TcpProxy
) -> None:
    whole = os.urandom(2 * PART_BYTES + 1000)
    (inbox_folder / "long.wav").write_bytes(whole)
    wait_until_visible()
    proxy.cut_when_received = proxy.received + int(len(whole) * 0.6)
    result = ingest_from_inbox(services, "long.wav")
    assert proxy.cuts == 1
    with services.files.media.open_local(result.recording) as path:
        assert path.read_bytes() == whole
    assert proxy.received < len(whole) + PART_BYTES


def test_missing_object_was_taken_by_another_run(
    services: PipelineServices, inbox_folder: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        ingest_from_inbox(services, "talk.wav")
    assert list_names(inbox_folder) == []
