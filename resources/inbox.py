"""The inbox: a folder that people drop files into, and when a file there is whole.

A file is whole when it has kept size and time for a while: a moment when its writer closed it or
moved it in, as the kernel tells, and some seconds when nobody told. Not here: what is done with
it (``resources/intake.py``), who does it (``sensors/inbox.py``, ``pipeline_assets/taking.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler

CLOSED_SECONDS = 0.25  # a writer that closes and goes on at once has not finished
QUIET_SECONDS = 5.0

#: Size and time of modification by file name, as seen at one moment.
Listing = Mapping[str, tuple[int, int]]


def look(folder: Path) -> dict[str, tuple[int, int]]:
    """The visible files of a folder. Raises ``OSError`` when it cannot be read: that is not an
    empty folder."""
    found: dict[str, tuple[int, int]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            facts = path.stat()
            found[path.name] = (facts.st_size, facts.st_mtime_ns)
    return found


def still(seen: Listing, now: Listing) -> list[str]:
    """Files that nobody has written to since the last look."""
    return [name for name, facts in now.items() if seen.get(name) == facts]


class Settling:
    """Which files have settled, by what was told and seen; times in seconds of one clock. Files
    are looked for by whoever uses it."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._due: dict[str, float] = {}

    def closed(self, name: str, now: float) -> None:
        """Its writer closed it, or it was moved in."""
        self._due[name] = now + CLOSED_SECONDS
        self._seen.pop(name, None)

    def settled(self, listing: Listing, now: float) -> list[str]:
        """Those that are whole now, given what is in the folder. One that stays there is named
        again after a while."""
        whole = []
        for name, facts in listing.items():
            due = self._due.setdefault(name, now + QUIET_SECONDS)
            changed = self._seen.get(name, facts) != facts
            if now >= due and not changed:
                whole.append(name)
            if now >= due or changed:
                self._due[name] = now + QUIET_SECONDS
        self._seen = dict(listing)
        self._due = {name: self._due[name] for name in listing}
        return whole

    def wait(self, now: float) -> float:
        """How long until one may have settled, or for the next look."""
        soonest = min(self._due.values(), default=now + QUIET_SECONDS)
        return min(max(soonest - now, 0.0), QUIET_SECONDS)


@contextmanager
def watching(folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Calls ``tell`` with the name of each file that a writer closes or moves into the folder, from
    a thread of its own. Elsewhere than on Linux, and in a network folder, nothing is told."""
    if sys.platform != "linux":
        yield
        return
    from watchdog.observers.inotify import InotifyObserver

    observer = InotifyObserver(generate_full_events=True)  # else a file moved in looks created
    kinds: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent]
    observer.schedule(_Teller(folder, tell), str(folder), event_filter=kinds)
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()


class _Teller(FileSystemEventHandler):
    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = Path(os.fsdecode(event.dest_path or event.src_path))
        if path.parent == self._folder:
            self._tell(path.name)
