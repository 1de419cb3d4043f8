"""Where uploads are kept, as those who use it see it: under the recording's id, never by what a
person typed.

Here: the protocol of a store, and what its ways of keeping agree on. Not here: the two ways
(``folder.py``, ``objects.py``), what the bytes are (``probe.py``, ``decode.py``), which recordings
exist (``playhead/postgres``).
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
ORPHAN_SECONDS = 24 * 3600  # what no recording has after a day, no one is working on

#: Suffixes that a stored file may keep, so that players know it. A name is a person's input:
#: anything else is dropped.
_SUFFIXES = frozenset(
    "." + suffix
    for suffix in "3g2 3gp aac ac3 aif aiff amr ape au avi caf dts eac3 flac flv m2ts m4a m4b "
    "mka mkv mov mp2 mp3 mp4 mpc mpeg mpg mxf oga ogg opus ra rm ts tta voc w64 wav webm wma wmv "
    "wv".split()
)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """Bytes that were read to their end but are not yet a recording's."""

    path: Path
    sha256: str
    size_bytes: int


class MediaStore(Protocol):
    """Keeps the bytes of recordings. Those in a bucket raise ``StorageUnavailable`` or
    ``StorageRefused`` from everything but ``drop`` and ``link``."""

    def stage(self, source: Path) -> StagedFile:
        """Read a file to its end, hashing it, in constant memory. Raises ``OSError`` when it cannot
        be read or kept; then nothing is left behind."""
        ...

    def commit(self, received: StagedFile, recording: Recording) -> None:
        """Give received bytes to a recording, all or nothing; durable when it returns. Raises
        ``OSError`` where they are not what was received any more."""
        ...

    def release(self, received: StagedFile) -> None:
        """Done with these, kept or not."""
        ...

    def delete_unregistered(self, recording: Recording) -> None:
        """Remove the file of a recording that was never registered."""
        ...

    def delete(self, recording_id: str) -> None:
        """Remove its file, whatever its suffix, and local copies of it."""
        ...

    def open_local(self, recording: Recording) -> AbstractContextManager[Path]:
        """Its bytes as a local file, for as long as the context lasts. Raises ``MediaMissing`` when
        they are gone, ``SpoolFull`` where a copy has no room."""
        ...

    def link(self, recording_id: str, suffix: str) -> str:
        """A URL that opens the file."""
        ...

    def has(self, recording: Recording) -> bool: ...

    def names(self) -> Iterator[str]:
        """Of all that is stored, finished or not."""
        ...

    def remove_orphans(self, known: Collection[tuple[str, str]]) -> list[str]:
        """Remove files, a day old or more, that belong to no recording: what a crash between
        keeping and registering left; their names. ``known``: (id, suffix) of every recording."""
        ...

    def missing(self, known: Collection[tuple[str, str]]) -> list[str]:
        """The ids of recordings whose file is gone."""
        ...


def safe_suffix(name: str) -> str:
    """The suffix of a file name if it is one of a media file, else nothing."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in _SUFFIXES else ""


def shard_dir(recording_id: str) -> str:
    """The folder of a recording. The end of a version 7 id is random, so folders fill evenly."""
    return recording_id[-2:]


def storage_key(recording_id: str, suffix: str) -> str:
    """A recording's file, relative to the store."""
    return f"{shard_dir(recording_id)}/{recording_id}{suffix}"


def missing_error(recording: Recording) -> MediaMissing:
    return MediaMissing(
        "The stored file is gone.",
        remedy="Add the same file again (its bytes take the old place), then: "
        f"playhead retry {recording.id}",
    )
