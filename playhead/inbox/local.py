"""Inbox in a local folder, which is the default."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler


class InboxFolder:
    """An inbox in a folder, which is created when it is first read.

    Files whose names begin with a dot are ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list_files(self) -> dict[str, tuple[int, int]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, tuple[int, int]] = {}
        for path in sorted(self._folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                facts = path.stat()
                found[path.name] = (facts.st_size, facts.st_mtime_ns)
        return found

    def age(self, name: str) -> float:
        try:
            return time.time() - (self._folder / name).stat().st_ctime
        except FileNotFoundError:
            return 0.0

    @contextmanager
    def claim_file(self, name: str) -> Iterator[Path]:
        file = self._folder / name
        before = file.stat()
        yield file
        with suppress(FileNotFoundError):
            after = file.stat()
            if os.path.samestat(before, after) and before.st_mtime_ns == after.st_mtime_ns:
                file.unlink()

    @contextmanager
    def watch(self, on_file: Callable[[str], None]) -> Iterator[None]:
        """Call ``on_file`` with each file that a writer closes or moves in, by inotify.

        On systems other than Linux, and in a network folder, no file is reported.
        """
        if sys.platform != "linux":
            yield
            return
        from watchdog.observers.inotify import InotifyObserver

        self._folder.mkdir(parents=True, exist_ok=True)
        observer = InotifyObserver(
            generate_full_events=True
        )  # otherwise a moved file looks created
        kinds: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent]
        observer.schedule(
            _EventForwarder(self._folder, on_file), str(self._folder), event_filter=kinds
        )
        observer.start()
        try:
            yield
        finally:
            observer.stop()
            observer.join()


class _EventForwarder(FileSystemEventHandler):
    def __init__(self, folder: Path, on_file: Callable[[str], None]) -> None:
        self._folder = folder
        self._on_file = on_file

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = Path(os.fsdecode(event.dest_path or event.src_path))
        if path.parent == self._folder:
            self._on_file(path.name)
