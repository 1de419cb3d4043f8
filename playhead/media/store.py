"""Protocol of a media store, which stores uploads under the recording's id.

A user's file name is never used as a path. Constants and names that all stores share are here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from playhead.core.errors import MediaMissing
from playhead.core.records import Recording

BLOCK_BYTES = 1 << 20
ORPHAN_SECONDS = 24 * 3600  # after a day, no process is still registering the file

#: Suffixes that a stored file may have, so that players recognise it. A name is user input: any
#: other suffix is dropped.
_SUFFIXES = frozenset(
    "." + suffix
    for suffix in "3g2 3gp aac ac3 aif aiff amr ape au avi caf dts eac3 flac flv m2ts m4a m4b "
    "mka mkv mov mp2 mp3 mp4 mpc mpeg mpg mxf oga ogg opus ra rm ts tta voc w64 wav webm wma wmv "
    "wv".split()
)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that was read completely and does not belong to a recording yet."""

    path: Path
    sha256: str
    size_bytes: int


class MediaStore(Protocol):
    """Storage of the media files of recordings.

    In a bucket, every method except ``release`` and ``link`` may raise ``StorageUnavailable`` or
    ``StorageAccessDenied``.
    """

    def stage(self, source: Path) -> StagedFile:
        """Read a file completely and hash it, in constant memory.

        Raises ``OSError`` if it cannot be read or stored; then no partial copy is left.
        """
        ...

    def commit(self, staged: StagedFile, recording: Recording) -> None:
        """Store a staged file as the recording's, atomically; it is durable on return.

        Raises ``OSError`` if its content has changed since it was staged.
        """
        ...

    def release(self, staged: StagedFile) -> None:
        """Release a staged file, whether or not it was committed."""
        ...

    def delete_unregistered(self, recording: Recording) -> None:
        """Remove the file of a recording that was never registered."""
        ...

    def delete(self, recording_id: str) -> None:
        """Remove the file of a recording, whatever its suffix, and local copies of it."""
        ...

    def open_local(self, recording: Recording) -> AbstractContextManager[Path]:
        """Provide the recording as a local file for the duration of the context.

        Raises ``MediaMissing`` if its file is gone, ``DownloadCacheFull`` if there is no room for a
        copy.
        """
        ...

    def link(self, recording_id: str, suffix: str) -> str:
        """Return a URL that opens the file."""
        ...

    def has(self, recording: Recording) -> bool: ...

    def names(self) -> Iterator[str]:
        """Yield the names of all stored files, complete or not."""
        ...

    def remove_orphans(self, known: Collection[tuple[str, str]]) -> list[str]:
        """Remove files that belong to no recording, and return their names.

        They are at least a day old: a crash between storing and registering left them. ``known``
        has the (id, suffix) of every recording.
        """
        ...

    def missing(self, known: Collection[tuple[str, str]]) -> list[str]:
        """Return the ids of recordings whose file is gone."""
        ...


def safe_suffix(name: str) -> str:
    """Return the suffix of a file name if it is one of a media file, else ""."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in _SUFFIXES else ""


def shard_dir(recording_id: str) -> str:
    """Return the folder of a recording: the last two characters of its id.

    The end of a version 7 UUID is random, so folders fill evenly.
    """
    return recording_id[-2:]


def storage_key(recording_id: str, suffix: str) -> str:
    """Return the path of a recording's file, relative to the store."""
    return f"{shard_dir(recording_id)}/{recording_id}{suffix}"


def missing_error(recording: Recording) -> MediaMissing:
    return MediaMissing(
        "The stored media file is missing.",
        remedy=f"Add the same file again, which restores it. Then: playhead retry {recording.id}",
    )
