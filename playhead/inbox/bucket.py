"""Inbox in a bucket: the objects directly below a prefix, without those in subfolders.

An object appears complete, so it is ready when two listings show the same version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from playhead.media.download_cache import DownloadCache
from playhead.media.object_storage import Bucket, StoredObject


class InboxBucket:
    """An inbox in a bucket; objects whose names begin with a dot are ignored."""

    def __init__(self, bucket: Bucket, spool: DownloadCache) -> None:
        self._bucket = bucket
        self._spool = spool

    def list_files(self) -> dict[str, tuple[int, int]]:
        objects = sorted(self._bucket.list_top(), key=lambda found: found.key)
        return {found.key: _facts(found) for found in objects if not found.key.startswith(".")}

    def age(self, name: str) -> float:
        found = self._bucket.find(name)
        return (datetime.now(UTC) - found.modified).total_seconds() if found else 0.0

    @contextmanager
    def claim_file(self, name: str) -> Iterator[Path]:
        found = self._listing(name)
        with self._spool.get(self._bucket, found, "inbox") as path:
            yield path
        if self._bucket.find(name) == found:
            self._bucket.delete(name)

    def watch(self, on_file: Callable[[str], None]) -> AbstractContextManager[None]:
        """Return a context that reports nothing: a bucket has no events and is polled."""
        return nullcontext()

    def _listing(self, name: str) -> StoredObject:
        found = self._bucket.find(name)
        if found is None:
            raise FileNotFoundError(f"{self._bucket.url}/{name} is gone.")
        return found


def _facts(found: StoredObject) -> tuple[int, int]:
    version = f"{found.etag} {found.modified.isoformat()}".encode()
    return found.size, int.from_bytes(hashlib.sha256(version).digest()[:6])
