"""Media store in a local folder, which is the default."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from playhead.core.records import Recording
from playhead.media.store import (
    BLOCK_BYTES,
    ORPHAN_SECONDS,
    StagedFile,
    missing_error,
    shard_dir,
    storage_key,
)


class LocalStore:
    """A folder of media files; staged files are copied in at once and are durable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"

    def stage(self, source: Path) -> StagedFile:
        self._incoming.mkdir(parents=True, exist_ok=True)
        target = self._incoming / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reader, target.open("xb") as writer:
                while block := reader.read(BLOCK_BYTES):
                    digest.update(block)
                    writer.write(block)
                writer.flush()
                os.fsync(writer.fileno())
                size = writer.tell()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return StagedFile(target, digest.hexdigest(), size)

    def commit(self, staged: StagedFile, recording: Recording) -> None:
        path = self.path(recording)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.path.replace(path)
        _sync_folder(path.parent)
        _sync_folder(self._folder)  # it holds the name of the shard folder, which may be new

    def release(self, staged: StagedFile) -> None:
        staged.path.unlink(missing_ok=True)

    def delete_unregistered(self, recording: Recording) -> None:
        self.path(recording).unlink(missing_ok=True)

    def delete(self, recording_id: str) -> None:
        for path in (self._folder / shard_dir(recording_id)).glob(f"{recording_id}*"):
            path.unlink(missing_ok=True)

    @contextmanager
    def open_local(self, recording: Recording) -> Iterator[Path]:
        if not self.has(recording):
            raise missing_error(recording)
        yield self.path(recording)

    def link(self, recording_id: str, suffix: str) -> str:
        return (self._folder / storage_key(recording_id, suffix)).as_uri()

    def path(self, recording: Recording) -> Path:
        """Return the path of the recording's bytes, stored as uploaded."""
        return self._folder / storage_key(recording.id, recording.suffix)

    def has(self, recording: Recording) -> bool:
        return self.path(recording).is_file()

    def names(self) -> Iterator[str]:
        return map(str, self._files())

    def remove_orphans(self, known: Collection[tuple[str, str]]) -> list[str]:
        paths = {self._folder / storage_key(identity, suffix) for identity, suffix in known}
        before = time.time() - ORPHAN_SECONDS
        orphans = [
            path for path in self._files() if path not in paths and path.stat().st_mtime < before
        ]
        for path in orphans:
            path.unlink(missing_ok=True)
        return list(map(str, orphans))

    def missing(self, known: Collection[tuple[str, str]]) -> list[str]:
        return [
            identity
            for identity, suffix in known
            if not (self._folder / storage_key(identity, suffix)).is_file()
        ]

    def _files(self) -> Iterator[Path]:
        return (path for path in self._folder.rglob("*") if path.is_file())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
