"""Local copies of stored objects while they are in use, since decoders read files.

A copy is locked while it is used and removed afterwards; a copy without a lock was left by a worker
that died.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playhead.core.errors import DownloadCacheFull
from playhead.media.object_storage import Bucket, StoredObject

_SPARE_BYTES = 1 << 30  # reserved for the database and the logs


class DownloadCache:
    """A folder with local copies of objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def get(self, bucket: Bucket, found: StoredObject, name: str) -> Iterator[Path]:
        """Provide a local copy of the object, whose file name begins with ``name``.

        Raises ``DownloadCacheFull`` and the errors of ``Bucket.download``.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._require_room(found.size)
        path = self._folder / f"{name}.{uuid.uuid4().hex}"
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                bucket.download(found, file)
                file.flush()
                yield path
            finally:
                path.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Remove the copies with this name, whether or not they are in use."""
        for path in self._folder.glob(f"{name}.*"):
            path.unlink(missing_ok=True)

    def remove_unused(self) -> list[str]:
        """Remove copies left by workers that died, and return their names."""
        return [path.name for path in self._files() if _remove_unused(path)]

    def names(self) -> list[str]:
        return [path.name for path in self._files()]

    def _files(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []

    def _require_room(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < size + _SPARE_BYTES:
            raise DownloadCacheFull(
                f"An object of {size >> 20} MiB cannot be copied to {self._folder}: "
                f"{free >> 20} MiB are free, of which 1 GiB is reserved.",
                remedy="Free disk space, or set PLAYHEAD_HOME to a folder on a larger disk. "
                "Then: playhead retry.",
            )


def _remove_unused(path: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False
