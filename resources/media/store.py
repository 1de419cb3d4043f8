"""Where uploads are kept: one folder, files named by recording id, never by what a person typed.

Here: taking bytes in while hashing them, keeping, finding, sweeping. Not here: what the bytes
are (``probe.py``, ``decode.py``), which recordings exist (``resources/postgres``).
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from resources.errors import MediaMissing
from resources.records import Recording

_BLOCK_BYTES = 1 << 20
_FORGOTTEN_SECONDS = 24 * 3600  # a copy still unfinished after a day has no one working on it

#: Suffixes that a stored file may keep, so that players know it. A name is a person's input:
#: anything else is dropped.
_SUFFIXES = frozenset(
    "." + suffix
    for suffix in "3g2 3gp aac ac3 aif aiff amr ape au avi caf dts eac3 flac flv m2ts m4a m4b "
    "mka mkv mov mp2 mp3 mp4 mpc mpeg mpg mxf oga ogg opus ra rm ts tta voc w64 wav webm wma wmv "
    "wv".split()
)


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that are safely on disk but not yet a recording's."""

    path: Path
    sha256: str
    size_bytes: int


class MediaStore:
    """A folder of media files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"

    def receive(self, source: Path) -> Received:
        """Copy a file in, hashing it on the way, in constant memory; durable when it returns.
        Raises ``OSError`` when the source cannot be read or the disk is full; then nothing is
        left behind."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        target = self._incoming / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reader, target.open("xb") as writer:
                while block := reader.read(_BLOCK_BYTES):
                    digest.update(block)
                    writer.write(block)
                writer.flush()
                os.fsync(writer.fileno())
                size = writer.tell()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return Received(target, digest.hexdigest(), size)

    def keep(self, received: Received, recording: Recording) -> None:
        """Give received bytes to a recording, in one step."""
        path = self.path(recording)
        path.parent.mkdir(parents=True, exist_ok=True)
        received.path.replace(path)
        _sync_folder(path.parent)
        _sync_folder(self._folder)  # which names the folder, when it is new

    def drop(self, received: Received) -> None:
        received.path.unlink(missing_ok=True)

    def discard(self, recording: Recording) -> None:
        self.path(recording).unlink(missing_ok=True)

    def forget(self, recording_id: str) -> None:
        """Remove its file, whatever its suffix."""
        for path in self.place(recording_id, "").parent.glob(f"{recording_id}*"):
            path.unlink(missing_ok=True)

    def path(self, recording: Recording) -> Path:
        """Where the recording's bytes are, as they were uploaded."""
        return self.place(recording.id, recording.suffix)

    def kept(self, recording: Recording) -> Path:
        """As ``path``. Raises ``MediaMissing`` when the file is gone."""
        if not self.has(recording):
            raise MediaMissing(
                "The stored file is gone.",
                remedy="Add the same file again (its bytes take the old place), then: "
                f"playhead retry {recording.id}",
            )
        return self.path(recording)

    def place(self, recording_id: str, suffix: str) -> Path:
        return self._folder / _place(recording_id, suffix)

    def has(self, recording: Recording) -> bool:
        return self.path(recording).is_file()

    def sweep(self, known: Collection[tuple[str, str]]) -> list[Path]:
        """Remove files, a day old or more, that belong to no recording: what a crash between
        keeping and registering left. ``known``: (id, suffix) of every recording."""
        places = {str(_place(identity, suffix)) for identity, suffix in known}
        lost = [path for path in self._old_files() if str(self._relative(path)) not in places]
        for path in lost:
            path.unlink(missing_ok=True)
        return lost

    def missing(self, known: Collection[tuple[str, str]]) -> list[str]:
        """The ids of recordings whose file is gone."""
        return [
            identity for identity, suffix in known if not self.place(identity, suffix).is_file()
        ]

    def _old_files(self) -> Iterator[Path]:
        before = time.time() - _FORGOTTEN_SECONDS
        for path in self._folder.rglob("*"):
            if path.is_file() and path.stat().st_mtime < before:
                yield path

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self._folder)


def safe_suffix(name: str) -> str:
    """The suffix of a file name if it is one of a media file, else nothing."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in _SUFFIXES else ""


def _place(recording_id: str, suffix: str) -> Path:
    # The end of a version 7 id is random, so folders fill evenly.
    return Path(recording_id[-2:]) / f"{recording_id}{suffix}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
