"""Ingestion: an added file is stored once; a failed one leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from playhead.media.local_store import LocalStore
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.ingest import Ingest, clean_title
from tests.support.time_travel import requires_real_clock

REPOSITORY = Path(__file__).parents[2]
DAY = 24 * 3600
INGEST_PROGRAM = """
import signal, sys
from pathlib import Path
from playhead.services.ingest import Ingest
from playhead.media.local_store import LocalStore
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
url, media, file, limit = sys.argv[1:]
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
database = Database(url)
ingest = Ingest(Recordings(database), LocalStore(Path(media)))
try:
    result = ingest.add(Path(file), org_id="default")
    print(result.recording.id, result.duplicate, flush=True)
except OSError as error:
    print(type(error).__name__, error.errno, flush=True)
database.close()
"""

HOSTILE_NAMES = [
    b"; rm -rf ~ ; $(reboot) `id` .mp3",
    b"line\nbreak\r\tand tab.mp3",
    b"-rf.wav",
    b"--help",
    b".hidden.flac",
    b"...mp3",
    "🎙️ Üñïçødé 漢字 שלום.mp3".encode(),
    b"caf\xe9 \xff\xfe is not utf-8.mp3",
    b"x" * 251 + b".mp3",
    "é".encode() * 125 + b".flac",
    b"%s %(id)s {} \\ ' \" .mp3",
    b"CON.mp3",
    b" .mp3",
    b"recording.mp3.exe",
    b"a,b,c.mp3",
]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "media")


@pytest.fixture
def recordings(database: Database) -> Recordings:
    return Recordings(database)


@pytest.fixture
def ingest(recordings: Recordings, store: LocalStore) -> Ingest:
    return Ingest(recordings, store)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "A talk.mp3"
    path.write_bytes(b"some bytes")
    return path


@pytest.fixture
def start_ingest(
    database: Database, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield a function that ingests a file in another process; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(file: Path, limit: str = "") -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    INGEST_PROGRAM,
                    database.url,
                    tmp_path / "media",
                    file,
                    limit,
                ],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@contextmanager
def block_registration(database: Database) -> Iterator[None]:
    """Block every process between storing its file and registering it."""
    with psycopg.connect(database.url) as connection:
        connection.execute("lock table recordings in share mode")
        yield


def count_waiting(database: Database) -> int:
    (row,) = database.rows(
        b"select count(*) as n from pg_stat_activity"
        b" where datname = current_database() and wait_event_type = 'Lock'"
    )
    return int(row["n"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def list_stored(recordings: Recordings) -> list[tuple[str, str]]:
    return list(recordings.stored().items())


def set_age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


# Crashes and errors


def test_crash_before_registration_leaves_an_orphan_removed_after_a_day(
    start_ingest: Callable[..., subprocess.Popen[str]],
    database: Database,
    recordings: Recordings,
    store: LocalStore,
    file: Path,
    tmp_path: Path,
) -> None:
    with block_registration(database):
        process = start_ingest(file)
        wait_until(lambda: count_waiting(database) == 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (orphan,) = list_files(tmp_path / "media")
    assert list_stored(recordings) == []
    set_age(orphan, DAY - 60)
    assert store.remove_orphans(list_stored(recordings)) == []
    set_age(orphan, DAY + 60)
    assert store.remove_orphans(list_stored(recordings)) == [str(orphan)]
    assert list_files(tmp_path / "media") == []
    assert file.exists()


@requires_real_clock
def test_crash_during_copying_leaves_a_part_removed_after_a_day(
    start_ingest: Callable[..., subprocess.Popen[str]],
    recordings: Recordings,
    store: LocalStore,
    tmp_path: Path,
) -> None:
    source = tmp_path / "endless.mp3"
    os.mkfifo(source)
    process = start_ingest(source)
    with source.open("wb") as writer:
        writer.write(b"x" * (3 << 20))
        writer.flush()
        wait_until(lambda: any(path.stat().st_size for path in list_files(tmp_path / "media")))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (part,) = list_files(tmp_path / "media")
    assert store.remove_orphans([]) == []
    set_age(part, DAY + 60)
    assert store.remove_orphans([]) == [str(part)]
    assert list_stored(recordings) == []


def test_orphan_removal_keeps_files_of_recordings(
    ingest: Ingest, recordings: Recordings, store: LocalStore, file: Path
) -> None:
    recording = ingest.add(file, org_id="default").recording
    set_age(store.path(recording), 400 * DAY)
    assert store.remove_orphans(list_stored(recordings)) == []
    assert store.path(recording).read_bytes() == b"some bytes"


def test_full_disk_is_an_error_and_leaves_nothing(
    start_ingest: Callable[..., subprocess.Popen[str]],
    recordings: Recordings,
    file: Path,
    tmp_path: Path,
) -> None:
    file.write_bytes(os.urandom(3 << 20))
    output, _ = start_ingest(file, limit=str(2 << 20)).communicate(timeout=20)
    assert output.startswith("OSError")
    assert list_files(tmp_path / "media") == []
    assert list_stored(recordings) == []
    assert file.stat().st_size == 3 << 20


@pytest.mark.parametrize("unreadable", ["missing.mp3", ".", "loop.mp3", "/proc/self/mem"])
def test_unreadable_file_is_an_error_and_not_registered(
    ingest: Ingest, recordings: Recordings, tmp_path: Path, unreadable: str
) -> None:
    (tmp_path / "loop.mp3").symlink_to("loop.mp3")
    with pytest.raises(OSError, match=r".+"):
        ingest.add(tmp_path / unreadable, org_id="default")
    assert list_stored(recordings) == []
    assert list_files(tmp_path / "media") == []


def test_recording_without_its_file_is_reported_and_restored_by_adding_it(
    ingest: Ingest, recordings: Recordings, store: LocalStore, file: Path
) -> None:
    recording = ingest.add(file, org_id="default").recording
    store.path(recording).unlink()
    assert store.missing(list_stored(recordings)) == [recording.id]
    assert ingest.add(file, org_id="default").recording == recording
    assert store.path(recording).read_bytes() == b"some bytes"
    assert store.missing(list_stored(recordings)) == []


# The same bytes


def test_concurrent_ingestion_of_the_same_bytes_creates_one_recording(
    start_ingest: Callable[..., subprocess.Popen[str]],
    database: Database,
    recordings: Recordings,
    file: Path,
    tmp_path: Path,
) -> None:
    with block_registration(database):
        processes = [start_ingest(file) for _ in range(2)]
        wait_until(lambda: count_waiting(database) == 2)
        assert len(list_files(tmp_path / "media")) == 2
    output = [process.communicate(timeout=20)[0].split() for process in processes]
    ((recording_id, suffix),) = list_stored(recordings)
    assert {tuple(answer) for answer in output} == {(recording_id, "False"), (recording_id, "True")}
    assert [path.name for path in list_files(tmp_path / "media")] == [recording_id + suffix]


def test_same_bytes_under_another_name_are_the_existing_recording(
    ingest: Ingest, file: Path, tmp_path: Path
) -> None:
    first = ingest.add(file, org_id="default", title="The first title")
    copy = tmp_path / "copy.wav"
    copy.write_bytes(file.read_bytes())
    second = ingest.add(copy, org_id="default", title="Another title", kind="lecture")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert second.recording == first.recording
    assert len(list_files(tmp_path / "media")) == 1


def test_same_bytes_in_two_organisations_are_two_recordings(
    ingest: Ingest, file: Path, tmp_path: Path
) -> None:
    own = ingest.add(file, org_id="ours")
    foreign = ingest.add(file, org_id="theirs")
    assert not foreign.duplicate
    assert foreign.recording.id != own.recording.id
    assert len(list_files(tmp_path / "media")) == 2


# Any file, any name


def test_hostile_file_name_only_becomes_a_title(
    ingest: Ingest, store: LocalStore, tmp_path: Path
) -> None:
    before: list[Path] = []
    for name in HOSTILE_NAMES:
        source = tmp_path / os.fsdecode(name)
        source.write_bytes(name)
        recording = ingest.add(source, org_id="default").recording
        (stored_file,) = set(list_files(tmp_path / "media")) - set(before)
        before.append(stored_file)
        assert stored_file == store.path(recording)
        assert stored_file.name == recording.id + recording.suffix
        assert recording.suffix in {"", ".mp3", ".wav", ".flac"}
        assert recording.title
        assert recording.title.isprintable()
        assert source.exists()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("../../etc/passwd", "../../etc/passwd"),
        ("one\ntwo\r\n\tthree\u2028four\x00five", "one two three four five"),
        ("  much   space  ", "much space"),
        ("x" * 4096, "x" * 500),
        ("x" * 499 + " y", "x" * 499),
        ("\udce9t\udce9", "t"),
        ("🎙️ 漢字", "🎙️ 漢字"),
        ("", "Untitled"),
        ("\n\t\x07 ", "Untitled"),
    ],
)
def test_title_is_one_printable_line_of_at_most_500_characters(title: str, expected: str) -> None:
    assert clean_title(title) == expected


def test_long_title_is_truncated_and_the_file_added(
    ingest: Ingest, recordings: Recordings, file: Path
) -> None:
    recording = ingest.add(file, org_id="default", title="ø" * 4096).recording
    assert recordings.get_many([recording.id]) == [recording]
    assert recording.title == "ø" * 500


def test_empty_file_is_added(ingest: Ingest, store: LocalStore, file: Path) -> None:
    file.write_bytes(b"")
    recording = ingest.add(file, org_id="default").recording
    assert recording.size_bytes == 0
    assert recording.sha256 == hashlib.sha256(b"").hexdigest()
    assert store.path(recording).stat().st_size == 0


def test_large_file_is_staged_in_constant_memory(store: LocalStore, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as writer:
        writer.truncate(300 << 20)
    tracemalloc.start()
    try:
        staged = store.stage(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert staged.size_bytes == 300 << 20
    assert peak < 8 << 20
    store.release(staged)
    assert list_files(tmp_path / "media") == []


def test_stored_file_is_identical_and_the_source_stays(
    ingest: Ingest, store: LocalStore, tmp_path: Path
) -> None:
    source = tmp_path / "talk.FLAC"
    source.write_bytes(os.urandom((5 << 20) + 1))
    recording = ingest.add(source, org_id="default", language="fr", kind="book").recording
    assert store.path(recording).read_bytes() == source.read_bytes()
    assert recording.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (recording.size_bytes, recording.suffix) == ((5 << 20) + 1, ".flac")
    assert (recording.title, recording.kind, recording.language) == ("talk", "book", "fr")
