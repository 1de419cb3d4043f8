"""A file that was taken in is safe and there once; one that was not leaves nothing behind."""

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
TAKE_IN = """
import signal, sys
from pathlib import Path
from playhead.services.ingest import Ingest
from playhead.media.local_store import MediaFolder
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
url, media, file, limit = sys.argv[1:]
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
database = Database(url)
ingest = Ingest(Recordings(database), MediaFolder(Path(media)))
try:
    arrival = ingest.add(Path(file), org_id="default")
    print(arrival.recording.id, arrival.duplicate, flush=True)
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
def intake(recordings: Recordings, store: LocalStore) -> Ingest:
    return Ingest(recordings, store)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "A talk.mp3"
    path.write_bytes(b"some bytes")
    return path


@pytest.fixture
def take_in(database: Database, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts another process that takes a file in; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(file: Path, limit: str = "") -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", TAKE_IN, database.url, tmp_path / "media", file, limit],
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
def nobody_can_register(database: Database) -> Iterator[None]:
    """Holds every process between keeping its file and registering it."""
    with psycopg.connect(database.url) as connection:
        connection.execute("lock table recordings in share mode")
        yield


def waiting_to_register(database: Database) -> int:
    (row,) = database.rows(
        b"select count(*) as n from pg_stat_activity"
        b" where datname = current_database() and wait_event_type = 'Lock'"
    )
    return int(row["n"])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def known(recordings: Recordings) -> list[tuple[str, str]]:
    return list(recordings.stored().items())


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


# Crashes


def test_a_crash_between_keeping_and_registering_leaves_a_file_that_is_swept_after_a_day(
    take_in: Callable[..., subprocess.Popen[str]],
    database: Database,
    recordings: Recordings,
    store: LocalStore,
    file: Path,
    tmp_path: Path,
) -> None:
    with nobody_can_register(database):
        doomed = take_in(file)
        until(lambda: waiting_to_register(database) == 1)
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
    (lost,) = files(tmp_path / "media")
    assert known(recordings) == []
    age(lost, DAY - 60)
    assert store.remove_orphans(known(recordings)) == []
    age(lost, DAY + 60)
    assert store.remove_orphans(known(recordings)) == [str(lost)]
    assert files(tmp_path / "media") == []
    assert file.exists()


@requires_real_clock
def test_a_crash_while_copying_leaves_a_part_that_is_swept_after_a_day(
    take_in: Callable[..., subprocess.Popen[str]],
    recordings: Recordings,
    store: LocalStore,
    tmp_path: Path,
) -> None:
    source = tmp_path / "endless.mp3"
    os.mkfifo(source)
    doomed = take_in(source)
    with source.open("wb") as writer:
        writer.write(b"x" * (3 << 20))
        writer.flush()
        until(lambda: any(path.stat().st_size for path in files(tmp_path / "media")))
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
    (part,) = files(tmp_path / "media")
    assert store.remove_orphans([]) == []
    age(part, DAY + 60)
    assert store.remove_orphans([]) == [str(part)]
    assert known(recordings) == []


def test_sweeping_never_touches_the_file_of_a_recording(
    intake: Ingest, recordings: Recordings, store: LocalStore, file: Path
) -> None:
    recording = intake.add(file, org_id="default").recording
    age(store.path(recording), 400 * DAY)
    assert store.remove_orphans(known(recordings)) == []
    assert store.path(recording).read_bytes() == b"some bytes"


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    take_in: Callable[..., subprocess.Popen[str]],
    recordings: Recordings,
    file: Path,
    tmp_path: Path,
) -> None:
    file.write_bytes(os.urandom(3 << 20))
    told, _ = take_in(file, limit=str(2 << 20)).communicate(timeout=20)
    assert told.startswith("OSError")
    assert files(tmp_path / "media") == []
    assert known(recordings) == []
    assert file.stat().st_size == 3 << 20


@pytest.mark.parametrize("unreadable", ["missing.mp3", ".", "loop.mp3", "/proc/self/mem"])
def test_what_cannot_be_read_is_an_error_and_nothing_is_registered(
    intake: Ingest, recordings: Recordings, tmp_path: Path, unreadable: str
) -> None:
    (tmp_path / "loop.mp3").symlink_to("loop.mp3")
    with pytest.raises(OSError, match=r".+"):
        intake.add(tmp_path / unreadable, org_id="default")
    assert known(recordings) == []
    assert files(tmp_path / "media") == []


def test_a_recording_whose_file_is_gone_is_told_and_has_it_again_once_it_is_added(
    intake: Ingest, recordings: Recordings, store: LocalStore, file: Path
) -> None:
    recording = intake.add(file, org_id="default").recording
    store.path(recording).unlink()
    assert store.missing(known(recordings)) == [recording.id]
    assert intake.add(file, org_id="default").recording == recording
    assert store.path(recording).read_bytes() == b"some bytes"
    assert store.missing(known(recordings)) == []


# The same bytes


def test_two_processes_with_the_same_bytes_at_once_make_one_recording_and_one_file(
    take_in: Callable[..., subprocess.Popen[str]],
    database: Database,
    recordings: Recordings,
    file: Path,
    tmp_path: Path,
) -> None:
    with nobody_can_register(database):
        processes = [take_in(file) for _ in range(2)]
        until(lambda: waiting_to_register(database) == 2)
        assert len(files(tmp_path / "media")) == 2
    told = [process.communicate(timeout=20)[0].split() for process in processes]
    ((identity, suffix),) = known(recordings)
    assert {tuple(answer) for answer in told} == {(identity, "False"), (identity, "True")}
    assert [path.name for path in files(tmp_path / "media")] == [identity + suffix]


def test_the_same_bytes_under_another_name_are_the_recording_that_is_there_and_it_is_told(
    intake: Ingest, file: Path, tmp_path: Path
) -> None:
    first = intake.add(file, org_id="default", title="The first title")
    copy = tmp_path / "copy.wav"
    copy.write_bytes(file.read_bytes())
    second = intake.add(copy, org_id="default", title="Another title", kind="lecture")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert second.recording == first.recording
    assert len(files(tmp_path / "media")) == 1


def test_the_same_bytes_in_two_organisations_are_two_recordings_with_a_file_each(
    intake: Ingest, file: Path, tmp_path: Path
) -> None:
    ours = intake.add(file, org_id="ours")
    theirs = intake.add(file, org_id="theirs")
    assert not theirs.duplicate
    assert theirs.recording.id != ours.recording.id
    assert len(files(tmp_path / "media")) == 2


# Any file, any name


def test_a_hostile_name_only_becomes_a_title(
    intake: Ingest, store: LocalStore, tmp_path: Path
) -> None:
    before: list[Path] = []
    for name in HOSTILE_NAMES:
        source = tmp_path / os.fsdecode(name)
        source.write_bytes(name)
        recording = intake.add(source, org_id="default").recording
        (kept,) = set(files(tmp_path / "media")) - set(before)
        before.append(kept)
        assert kept == store.path(recording)
        assert kept.name == recording.id + recording.suffix
        assert recording.suffix in {"", ".mp3", ".wav", ".flac"}
        assert recording.title
        assert recording.title.isprintable()
        assert source.exists()


@pytest.mark.parametrize(
    ("title", "shown"),
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
def test_a_title_is_one_printable_line_of_at_most_500_characters(title: str, shown: str) -> None:
    assert clean_title(title) == shown


def test_a_long_title_a_person_gives_is_cut_and_the_upload_kept(
    intake: Ingest, recordings: Recordings, file: Path
) -> None:
    recording = intake.add(file, org_id="default", title="ø" * 4096).recording
    assert recordings.get_many([recording.id]) == [recording]
    assert recording.title == "ø" * 500


def test_an_empty_file_is_taken_and_fails_later_with_its_reason(
    intake: Ingest, store: LocalStore, file: Path
) -> None:
    file.write_bytes(b"")
    recording = intake.add(file, org_id="default").recording
    assert recording.size_bytes == 0
    assert recording.sha256 == hashlib.sha256(b"").hexdigest()
    assert store.path(recording).stat().st_size == 0


def test_a_large_file_is_taken_in_memory_that_does_not_grow_with_it(
    store: LocalStore, tmp_path: Path
) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as writer:
        writer.truncate(300 << 20)
    tracemalloc.start()
    try:
        received = store.stage(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received.size_bytes == 300 << 20
    assert peak < 8 << 20
    store.release(received)
    assert files(tmp_path / "media") == []


def test_what_is_stored_is_what_was_there_and_the_source_stays(
    intake: Ingest, store: LocalStore, tmp_path: Path
) -> None:
    source = tmp_path / "talk.FLAC"
    source.write_bytes(os.urandom((5 << 20) + 1))
    recording = intake.add(source, org_id="default", language="fr", kind="book").recording
    assert store.path(recording).read_bytes() == source.read_bytes()
    assert recording.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (recording.size_bytes, recording.suffix) == ((5 << 20) + 1, ".flac")
    assert (recording.title, recording.kind, recording.language) == ("talk", "book", "fr")
