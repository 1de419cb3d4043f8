"""Media in a bucket over an unreliable connection: stored completely or not at all, and resumed."""

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
MAX_HEADER_BYTES = 200_000  # bytes of headers, at most, in a test
REPOSITORY = Path(__file__).parents[2]
COPY_PROGRAM = """
import sys
from pathlib import Path
from playhead.media.download_cache import DownloadCache
from playhead.media.object_storage import Bucket
folder, url, endpoint, key = sys.argv[1:]
bucket = Bucket(url, endpoint=endpoint)
with DownloadCache(Path(folder)).get(bucket, bucket.find(key), "killed") as path:
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(
    fresh_database: Callable[[], str], tmp_path: Path, url: str, proxy: TcpProxy
) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=fresh_database(),
        media=f"{url}/media",
        s3_endpoint=proxy.endpoint,
    )


@pytest.fixture
def bucket(url: str, proxy: TcpProxy) -> Bucket:
    return Bucket(f"{url}/media", endpoint=proxy.endpoint)


@pytest.fixture
def objects_folder(bucket_folder: Path) -> Path:
    """Return the folder in which the server stores the objects."""
    return bucket_folder / "media"


@pytest.fixture
def cache(tmp_path: Path) -> DownloadCache:
    return DownloadCache(tmp_path / "spool")


@pytest.fixture
def objects(bucket: Bucket, cache: DownloadCache) -> BucketStore:
    return BucketStore(bucket, cache)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    if request.param == "folder":
        return LocalStore(tmp_path / "media")
    bucket_store: BucketStore = request.getfixturevalue("objects")
    return bucket_store


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return a file of three parts and a bit, all different."""
    file = tmp_path / "large.wav"
    file.write_bytes(os.urandom(3 * PART_BYTES + 1000))
    return file


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.wav"
    file.write_bytes(os.urandom(50_000))
    return file


def store_file(store: MediaStore, file: Path) -> Recording:
    recording = factories.make_recording(suffix=".wav")
    staged = store.stage(file)
    store.commit(staged, recording)
    store.release(staged)
    return recording


def list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Interrupted connections


def test_interrupted_upload_resumes_from_the_stored_parts(
    objects: BucketStore, objects_folder: Path, proxy: TcpProxy, large: Path
) -> None:
    size = large.stat().st_size
    proxy.down_seconds = 0.5
    proxy.cut_when_sent = int(size * 0.6)
    store_file(objects, large)
    assert proxy.cuts == 1
    assert proxy.sent < size + PART_BYTES + MAX_HEADER_BYTES
    (stored,) = list_files(objects_folder)
    assert sha256(stored) == sha256(large)


def test_interrupted_download_resumes_from_the_received_byte(
    objects: BucketStore, proxy: TcpProxy, large: Path
) -> None:
    recording = store_file(objects, large)
    size, before = large.stat().st_size, proxy.received
    proxy.cut_when_received = before + int(size * 0.6)
    with objects.open_local(recording) as path:
        assert sha256(path) == sha256(large)
    assert proxy.cuts == 1
    assert proxy.received - before < size + PART_BYTES + MAX_HEADER_BYTES


def test_unreachable_storage_is_a_retryable_error(url: str) -> None:
    unreachable = Bucket(
        url, endpoint=f"http://127.0.0.1:{free_port()}", retry_budget=timedelta(milliseconds=300)
    )
    with pytest.raises(StorageUnavailable) as raised:
        unreachable.find("a")
    assert raised.value.retryable


def test_object_replaced_during_a_download_is_an_error(
    objects: BucketStore, bucket: Bucket, objects_folder: Path, small: Path
) -> None:
    store_file(objects, small)
    (found,) = [bucket.find(item.key) for item in bucket.list_all()]
    assert found is not None
    list_files(objects_folder)[0].write_bytes(os.urandom(50_000))
    wait_until_visible()
    with pytest.raises(StorageUnavailable, match="changed"):
        bucket.download(found, io.BytesIO())


# Wrong settings


def test_wrong_credentials_are_reported_and_nothing_is_registered(
    url: str,
    proxy: TcpProxy,
    cache: DownloadCache,
    recordings: Recordings,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    store = BucketStore(Bucket(url, endpoint=proxy.endpoint), cache)
    with pytest.raises(StorageAccessDenied) as raised:
        Ingest(recordings, store).add(small, org_id="default")
    assert "AWS_SECRET_ACCESS_KEY" in raised.value.remedy
    assert not raised.value.retryable
    assert recordings.stored() == {}
    with pytest.raises(StorageAccessDenied):
        store.missing([])


def test_missing_bucket_is_reported_by_name(
    cache: DownloadCache, proxy: TcpProxy, small: Path
) -> None:
    unknown_bucket = BucketStore(Bucket("s3://nowhere/media", endpoint=proxy.endpoint), cache)
    with pytest.raises(StorageAccessDenied, match="s3://nowhere/media"):
        store_file(unknown_bucket, small)
    with pytest.raises(StorageAccessDenied, match="s3://nowhere/media"):
        unknown_bucket.missing([("some id", ".wav")])


# Both kinds of store


def test_opened_file_is_identical_to_the_stored_one(store: MediaStore, small: Path) -> None:
    recording = store_file(store, small)
    assert store.has(recording)
    with store.open_local(recording) as path:
        assert path.read_bytes() == small.read_bytes()


def test_empty_file_is_stored(store: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    recording = store_file(store, tmp_path / "empty")
    with store.open_local(recording) as path:
        assert path.read_bytes() == b""


def test_deleted_file_is_reported_missing(store: MediaStore, small: Path) -> None:
    here, deleted = store_file(store, small), store_file(store, small)
    store.delete_unregistered(deleted)
    registered = [(recording.id, recording.suffix) for recording in (here, deleted)]
    assert store.missing(registered) == [deleted.id]
    assert not store.has(deleted)
    with pytest.raises(MediaMissing, match="missing"), store.open_local(deleted):
        pass


def test_deleted_recording_leaves_no_object(store: MediaStore, small: Path) -> None:
    deleted, other = store_file(store, small), store_file(store, small)
    store.delete(deleted.id)
    (remaining,) = store.names()
    assert other.id in remaining


def test_file_changed_during_the_upload_is_not_stored(
    objects: BucketStore, objects_folder: Path, large: Path
) -> None:
    staged = objects.stage(large)
    with large.open("r+b") as writer:
        writer.write(b"other bytes")
    with pytest.raises(OSError, match="changed while it was being stored"):
        objects.commit(staged, factories.make_recording())
    assert list_files(objects_folder) == []


def test_orphan_removal_keeps_new_and_foreign_objects(
    objects: BucketStore, objects_folder: Path, small: Path
) -> None:
    registered, orphan, new = (store_file(objects, small) for _ in range(3))
    (objects_folder / "somebody else's.wav").write_bytes(b"theirs")
    for path in list_files(objects_folder):
        if new.id not in path.name:
            os.utime(path, (time.time() - DAY - 60,) * 2)
    wait_until_visible()
    (removed,) = objects.remove_orphans([(registered.id, registered.suffix)])
    assert orphan.id in removed
    names = " ".join(path.name for path in list_files(objects_folder))
    assert registered.id in names
    assert new.id in names
    assert "somebody else's" in names


# The download cache


def test_cached_copy_exists_only_while_it_is_used(
    objects: BucketStore, tmp_path: Path, small: Path
) -> None:
    recording = store_file(objects, small)
    with objects.open_local(recording) as path:
        assert list_files(tmp_path / "spool") == [path]
        assert list(objects.remove_orphans([(recording.id, ".wav")])) == []
    with pytest.raises(RuntimeError), objects.open_local(recording):
        raise RuntimeError
    assert list_files(tmp_path / "spool") == []


def test_cached_copy_of_a_killed_worker_is_removed(
    objects: BucketStore, bucket: Bucket, proxy: TcpProxy, tmp_path: Path, small: Path
) -> None:
    recording = store_file(objects, small)
    key = f"{recording.id[-2:]}/{recording.id}.wav"
    worker = subprocess.Popen(
        [sys.executable, "-c", COPY_PROGRAM, tmp_path / "spool", bucket.url, proxy.endpoint, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert worker.stdout is not None
    remaining = Path(worker.stdout.readline().strip())
    assert objects.remove_orphans([(recording.id, ".wav")]) == []
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert remaining.read_bytes() == small.read_bytes()
    assert objects.remove_orphans([(recording.id, ".wav")]) == [remaining.name]
    assert not remaining.exists()


def test_cached_copy_of_a_deleted_recording_is_removed(
    objects: BucketStore, tmp_path: Path, small: Path
) -> None:
    recording = store_file(objects, small)
    with objects.open_local(recording):
        objects.delete(recording.id)
        assert list(objects.names()) == []
    assert list_files(tmp_path / "spool") == []


def test_object_larger_than_the_disk_is_not_downloaded(
    bucket: Bucket, cache: DownloadCache, proxy: TcpProxy
) -> None:
    huge = StoredObject("huge", 1 << 60, "etag", datetime.now(UTC))
    with pytest.raises(DownloadCacheFull, match="free"), cache.get(bucket, huge, "huge"):
        pass
    assert proxy.received == 0


# The pipeline with a bucket


def test_same_file_twice_is_uploaded_once(
    recordings: Recordings, objects: BucketStore, objects_folder: Path, proxy: TcpProxy, large: Path
) -> None:
    ingest = Ingest(recordings, objects)
    first = ingest.add(large, org_id="default")
    before = proxy.sent
    second = ingest.add(large, org_id="default")
    assert second == replace(first, duplicate=True)
    assert proxy.sent - before < MAX_HEADER_BYTES
    assert len(list_files(objects_folder)) == 1


def test_recording_in_a_bucket_is_processed_and_its_link_opens_it(
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
    assert list_files(services.settings.home / "spool") == []


def test_deletion_removes_objects_from_the_bucket(
    settings: Settings,
    pipeline: Pipeline,
    add: Add,
    objects_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    removed, other = add("a.wav"), add("b.wav")
    with dg.DagsterInstance.from_config(str(REPOSITORY)) as instance:
        report = delete(pipeline.services, instance, [removed.id])
    assert report.found == []
    (stored,) = list_files(objects_folder)
    assert stored.stem == other.id


def test_missing_object_is_dead_lettered_and_restored_by_adding_the_file(
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
