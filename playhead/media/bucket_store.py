"""Media store in a bucket: one object per recording, with the same names as in the folder.

An object store cannot rename, and copies at most 5 GB in one request (S3), so bytes are uploaded
directly to the recording's own key. A file is therefore read twice: once to detect whether its
bytes are stored already, once to be uploaded, and the upload fails if the two differ.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playhead.core.records import Recording
from playhead.media.download_cache import DownloadCache
from playhead.media.object_storage import PART_BYTES, Bucket
from playhead.media.store import (
    BLOCK_BYTES,
    ORPHAN_SECONDS,
    StagedFile,
    missing_error,
    shard_dir,
    storage_key,
)

#: Keys that this store creates. Anything else below its prefix belongs to somebody else.
_OURS: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.\w+)?")


class BucketStore:
    """Media files below a bucket's prefix, which must belong to this database alone."""

    def __init__(self, bucket: Bucket, spool: DownloadCache) -> None:
        self._bucket = bucket
        self._spool = spool

    def stage(self, source: Path) -> StagedFile:
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as reader:
            while block := reader.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
        return StagedFile(source, digest.hexdigest(), size)

    def commit(self, staged: StagedFile, recording: Recording) -> None:
        key = storage_key(recording.id, recording.suffix)
        self._bucket.upload(key, _parts(staged), staged.size_bytes)

    def release(self, staged: StagedFile) -> None:
        """Leave the source alone, since it was not copied."""

    def delete_unregistered(self, recording: Recording) -> None:
        self._bucket.delete(storage_key(recording.id, recording.suffix))

    def delete(self, recording_id: str) -> None:
        self._spool.delete(recording_id)
        for found in self._bucket.list_all(shard_dir(recording_id)):
            if Path(found.key).name.startswith(recording_id):
                self._bucket.delete(found.key)

    @contextmanager
    def open_local(self, recording: Recording) -> Iterator[Path]:
        found = self._bucket.find(storage_key(recording.id, recording.suffix))
        if found is None:
            raise missing_error(recording)
        with self._spool.get(self._bucket, found, recording.id) as path:
            yield path

    def link(self, recording_id: str, suffix: str) -> str:
        return self._bucket.link(storage_key(recording_id, suffix))

    def has(self, recording: Recording) -> bool:
        return self._bucket.find(storage_key(recording.id, recording.suffix)) is not None

    def names(self) -> Iterator[str]:
        yield from self._spool.names()
        for found in self._bucket.list_all():
            yield f"{self._bucket.url}/{found.key}"

    def remove_orphans(self, known: Collection[tuple[str, str]]) -> list[str]:
        keys = {storage_key(identity, suffix) for identity, suffix in known}
        before = time.time() - ORPHAN_SECONDS
        orphans = [
            found.key
            for found in self._bucket.list_all()
            if found.key not in keys
            and _OURS.fullmatch(found.key)
            and found.modified.timestamp() < before
        ]
        for key in orphans:
            self._bucket.delete(key)
        return [*orphans, *self._spool.remove_unused()]

    def missing(self, known: Collection[tuple[str, str]]) -> list[str]:
        keys = {found.key for found in self._bucket.list_all()}
        return [identity for identity, suffix in known if storage_key(identity, suffix) not in keys]


def _parts(staged: StagedFile) -> Iterator[bytes]:
    """Yield the staged file in parts of ``PART_BYTES``.

    Raises ``OSError`` before the end if its content has changed since it was staged.
    """
    digest = hashlib.sha256()
    with staged.path.open("rb") as reader:
        while block := reader.read(PART_BYTES):
            digest.update(block)
            yield block
    if digest.hexdigest() != staged.sha256:
        raise OSError("The file changed while it was being stored.")
