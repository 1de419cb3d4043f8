"""The inbox: where people drop files, and when a file there is whole.

A file is whole when it has not changed for a while: a moment when its writer closed it or moved it
in, as the kernel tells, and some seconds when nobody told. Not here: the two places an inbox can
be (``inbox_folder.py``, ``inbox_bucket.py``), what is done with a file (``playhead/services/ingest.py``),
who does it (``sensors/inbox.py``, ``pipeline_assets/worker/inbox_watcher.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

CLOSED_SECONDS = 0.25  # a writer that closes and goes on at once has not finished
STABLE_SECONDS = 5.0

#: By file name its size, and a number that is another one when it was written to since; as seen at
#: one moment.
Listing = Mapping[str, tuple[int, int]]


class Inbox(Protocol):
    """Where files are dropped. One in a bucket raises ``StorageUnavailable`` or ``StorageRefused``
    from everything."""

    def list_files(self) -> dict[str, tuple[int, int]]:
        """The visible files. Raises ``OSError`` when it cannot be read: that is not an empty
        inbox."""
        ...

    def age(self, name: str) -> float:
        """Seconds since the file came or was written to; none when it is gone."""
        ...

    def claim_file(self, name: str) -> AbstractContextManager[Path]:
        """Its bytes as a local file. At the end it leaves the inbox, unless somebody has changed or
        replaced it meanwhile, or an error ends the context. Raises ``FileNotFoundError``."""
        ...

    def watch(self, tell: Callable[[str], None]) -> AbstractContextManager[None]:
        """Calls ``tell`` with the name of each file that is complete, from a thread of its own,
        where somebody tells of it."""
        ...


def unchanged_files(seen: Listing, now: Listing) -> list[str]:
    """Files that nobody has written to since the last look."""
    return [name for name, facts in now.items() if seen.get(name) == facts]


class StabilityTracker:
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
            due = self._due.setdefault(name, now + STABLE_SECONDS)
            changed = self._seen.get(name, facts) != facts
            if now >= due and not changed:
                whole.append(name)
            if now >= due or changed:
                self._due[name] = now + STABLE_SECONDS
        self._seen = dict(listing)
        self._due = {name: self._due[name] for name in listing}
        return whole

    def wait(self, now: float) -> float:
        """How long until one may have settled, or for the next look."""
        soonest = min(self._due.values(), default=now + STABLE_SECONDS)
        return min(max(soonest - now, 0.0), STABLE_SECONDS)
