"""Media in a bucket of a real server, over a line that breaks: stored whole or not at all, and what
was carried is not carried again."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.maintenance.delete_recording import delete
from playhead.core.errors import (
    DownloadCacheFull,
    MediaMissing,
    StorageAccessDenied,
    StorageUnavailable,
)
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.media.bucket_store import BucketStore
from playhead.media.download_cache import DownloadCache
from playhead.media.local_store import LocalStore
from playhead.media.object_storage import PART_BYTES, Bucket, StoredObject
from playhead.media.store import MediaStore
from playhead.postgres.pipeline.recordings import Recordings
from playhead.search.service import SearchService
from playhead.services.ingest import Ingest
from tests.integration.conftest import Pipeline
from tests.support import factories
from tests.support.s3_server import TcpProxy, free_port, wait_until_visible

Add = Callable[[str], Recording]

DAY = 24 * 3600
CHATTER = 200_000  # bytes of headers, at most, in a test
REPOSITORY = Path(__file__).parents[2]
COPY = """
import sys
from pathlib import Path
from playhead.media.download_cache import Spool
from playhead.media.object_storage import Bucket
folder, url, endpoint, key = sys.argv[1:]
bucket = Bucket(url, endpoint=endpoint)
with Spool(Path(folder)).copy(bucket, bucket.find(key), "killed") as path:
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(
    fresh_database: Callable[[], str], tmp_path: Path, url: str, line: TcpProxy
) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=fresh_database(),
        media=f"{url}/media",
        s3_endpoint=line.endpoint,
    )


@pytest.fixture
def bucket(url: str, line: TcpProxy) -> Bucket:
    return Bucket(f"{url}/media", endpoint=line.endpoint)


@pytest.fixture
def objects_folder(bucket_folder: Path) -> Path:
    """Where the server keeps them."""
    return bucket_folder / "media"


@pytest.fixture
def spool(tmp_path: Path) -> DownloadCache:
    return DownloadCache(tmp_path / "spool")


@pytest.fixture
def objects(bucket: Bucket, spool: DownloadCache) -> BucketStore:
    return BucketStore(bucket, spool)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    if request.param == "folder":
        return LocalStore(tmp_path / "media")
    made: BucketStore = request.getfixturevalue("objects")
    return made


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Three parts and a bit, none like another."""
    file = tmp_path / "large.wav"
    file.write_bytes(os.urandom(3 * PART_BYTES + 1000))
    return file


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.wav"
    file.write_bytes(os.urandom(50_000))
    return file


def kept(store: MediaStore, file: Path) -> Recording:
    recording = factories.make_recording(suffix=".wav")
    received = store.stage(file)
    store.commit(received, recording)
    store.release(received)
    return recording


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# A line that breaks


def test_an_upload_cut_at_60_percent_goes_on_from_the_parts_that_are_there(
    objects: BucketStore, objects_folder: Path, line: TcpProxy, large: Path
) -> None:
    size = large.stat().st_size
    line.down_seconds = 0.5
    line.cut_when_sent = int(size * 0.6)
    kept(objects, large)
    assert line.cuts == 1
    assert line.sent < size + PART_BYTES + CHATTER
    (stored,) = files(objects_folder)
    assert sha256(stored) == sha256(large)


def test_a_download_cut_at_60_percent_goes_on_from_the_byte_it_had(
    objects: BucketStore, line: TcpProxy, large: Path
) -> None:
    recording = kept(objects, large)
    size, before = large.stat().st_size, line.received
    line.cut_when_received = before + int(size * 0.6)
    with objects.open_local(recording) as path:
        assert sha256(path) == sha256(large)
    assert line.cuts == 1
    assert line.received - before < size + PART_BYTES + CHATTER


def test_where_nobody_answers_it_is_told_and_another_try_may_help(url: str) -> None:
    away = Bucket(
        url, endpoint=f"http://127.0.0.1:{free_port()}", patience=timedelta(milliseconds=300)
    )
    with pytest.raises(StorageUnavailable) as raised:
        away.find("a")
    assert raised.value.retryable


def test_an_object_that_is_replaced_is_not_read_on(
    objects: BucketStore, bucket: Bucket, objects_folder: Path, small: Path
) -> None:
    kept(objects, small)
    (found,) = [bucket.find(item.key) for item in bucket.list_all()]
    assert found is not None
    files(objects_folder)[0].write_bytes(os.urandom(50_000))
    wait_until_visible()
    with pytest.raises(StorageUnavailable, match="changed"):
        bucket.download(found, io.BytesIO())


# What a person set wrongly


def test_wrong_credentials_are_told_with_what_to_do_and_nothing_is_registered(
    url: str,
    line: TcpProxy,
    spool: DownloadCache,
    recordings: Recordings,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    refused = BucketStore(Bucket(url, endpoint=line.endpoint), spool)
    with pytest.raises(StorageAccessDenied) as raised:
        Ingest(recordings, refused).add(small, org_id="default")
    assert "AWS_SECRET_ACCESS_KEY" in raised.value.remedy
    assert not raised.value.retryable
    assert recordings.stored() == {}
    with pytest.raises(StorageAccessDenied):
        refused.missing([])


def test_a_bucket_that_is_not_there_is_told_by_its_name(
    spool: DownloadCache, line: TcpProxy, small: Path
) -> None:
    nowhere = BucketStore(Bucket("s3://nowhere/media", endpoint=line.endpoint), spool)
    with pytest.raises(StorageAccessDenied, match="s3://nowhere/media"):
        kept(nowhere, small)
    with pytest.raises(StorageAccessDenied, match="s3://nowhere/media"):
        nowhere.missing([("some id", ".wav")])


# Whole or not at all, in both places


def test_what_is_opened_is_what_was_received(store: MediaStore, small: Path) -> None:
    recording = kept(store, small)
    assert store.has(recording)
    with store.open_local(recording) as path:
        assert path.read_bytes() == small.read_bytes()


def test_a_file_of_no_bytes_is_kept(store: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    recording = kept(store, tmp_path / "empty")
    with store.open_local(recording) as path:
        assert path.read_bytes() == b""


def test_one_that_is_gone_is_missing_and_is_told_when_it_is_opened(
    store: MediaStore, small: Path
) -> None:
    here, gone = kept(store, small), kept(store, small)
    store.delete_unregistered(gone)
    known = [(recording.id, recording.suffix) for recording in (here, gone)]
    assert store.missing(known) == [gone.id]
    assert not store.has(gone)
    with pytest.raises(MediaMissing, match="gone"), store.open_local(gone):
        pass


def test_a_forgotten_one_leaves_no_name(store: MediaStore, small: Path) -> None:
    forgotten, other = kept(store, small), kept(store, small)
    store.delete(forgotten.id)
    (left,) = store.names()
    assert other.id in left


def test_a_file_written_to_while_it_is_stored_is_not_kept(
    objects: BucketStore, objects_folder: Path, large: Path
) -> None:
    received = objects.stage(large)
    with large.open("r+b") as writer:
        writer.write(b"other bytes")
    with pytest.raises(OSError, match="written to"):
        objects.commit(received, factories.make_recording())
    assert files(objects_folder) == []


def test_what_no_recording_has_is_swept_after_a_day_and_what_is_not_ours_stays(
    objects: BucketStore, objects_folder: Path, small: Path
) -> None:
    known, lost, new = (kept(objects, small) for _ in range(3))
    (objects_folder / "somebody else's.wav").write_bytes(b"theirs")
    for path in files(objects_folder):
        if new.id not in path.name:
            os.utime(path, (time.time() - DAY - 60,) * 2)
    wait_until_visible()
    (swept,) = objects.remove_orphans([(known.id, known.suffix)])
    assert lost.id in swept
    names = " ".join(path.name for path in files(objects_folder))
    assert known.id in names
    assert new.id in names
    assert "somebody else's" in names


# The spool


def test_a_copy_is_there_for_as_long_as_it_is_used(
    objects: BucketStore, tmp_path: Path, small: Path
) -> None:
    recording = kept(objects, small)
    with objects.open_local(recording) as path:
        assert files(tmp_path / "spool") == [path]
        assert list(objects.remove_orphans([(recording.id, ".wav")])) == []
    with pytest.raises(RuntimeError), objects.open_local(recording):
        raise RuntimeError
    assert files(tmp_path / "spool") == []


def test_the_copy_of_a_worker_that_was_killed_is_swept(
    objects: BucketStore, bucket: Bucket, line: TcpProxy, tmp_path: Path, small: Path
) -> None:
    recording = kept(objects, small)
    key = f"{recording.id[-2:]}/{recording.id}.wav"
    worker = subprocess.Popen(
        [sys.executable, "-c", COPY, tmp_path / "spool", bucket.url, line.endpoint, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert worker.stdout is not None
    left = Path(worker.stdout.readline().strip())
    assert objects.remove_orphans([(recording.id, ".wav")]) == []
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert left.read_bytes() == small.read_bytes()
    assert objects.remove_orphans([(recording.id, ".wav")]) == [left.name]
    assert not left.exists()


def test_a_copy_goes_when_its_recording_is_forgotten(
    objects: BucketStore, tmp_path: Path, small: Path
) -> None:
    recording = kept(objects, small)
    with objects.open_local(recording):
        objects.delete(recording.id)
        assert list(objects.names()) == []
    assert files(tmp_path / "spool") == []


def test_an_object_larger_than_the_disk_is_not_begun(
    bucket: Bucket, spool: DownloadCache, line: TcpProxy
) -> None:
    huge = StoredObject("huge", 1 << 60, "etag", datetime.now(UTC))
    with pytest.raises(DownloadCacheFull, match="free"), spool.get(bucket, huge, "huge"):
        pass
    assert line.received == 0


# The pipeline over it


def test_the_same_file_twice_is_one_object_and_is_sent_once(
    recordings: Recordings, objects: BucketStore, objects_folder: Path, line: TcpProxy, large: Path
) -> None:
    intake = Ingest(recordings, objects)
    first = intake.add(large, org_id="default")
    before = line.sent
    second = intake.add(large, org_id="default")
    assert second == replace(first, duplicate=True)
    assert line.sent - before < CHATTER
    assert len(files(objects_folder)) == 1


def test_a_recording_in_a_bucket_is_made_and_found_and_its_link_opens_it(
    pipeline: Pipeline, add: Add, tmp_path: Path
) -> None:
    recording = add("a.wav")
    assert pipeline.run(recording).success
    services = pipeline.services
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    hit = find(services.pipeline.versions.current(recording).text.split()[0]).hits[0]
    address, _, second = hit.link.partition("#t=")
    assert float(second) == pytest.approx(hit.start_seconds, abs=0.01)
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == (tmp_path / "a.wav").read_bytes()
    assert files(services.settings.home / "spool") == []


def test_forgetting_looks_in_the_bucket_too_and_nothing_is_left(
    settings: Settings,
    pipeline: Pipeline,
    add: Add,
    objects_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    ours, other = add("a.wav"), add("b.wav")
    with dg.DagsterInstance.from_config(str(REPOSITORY)) as instance:
        look = delete(pipeline.services, instance, [ours.id])
    assert look.found == []
    (stored,) = files(objects_folder)
    assert stored.stem == other.id


def test_an_object_that_is_gone_is_told_at_once_and_healed_by_adding_it_again(
    pipeline: Pipeline, add: Add
) -> None:
    recording = add("a.wav")
    services = pipeline.services
    services.files.media.delete_unregistered(recording)
    assert not pipeline.run(recording).success
    [letter] = services.pipeline.recordings.dead_letters()
    assert (letter.error_class, letter.attempts) == ("MediaMissing", 1)
    assert add("a.wav") == recording
    services.pipeline.recordings.requeue("default", [recording.id])
    assert pipeline.run(recording).success
