"""Protocol of an inbox, and detection of completely written files.

A file is complete when it has not changed for a while: ``CLOSED_SECONDS`` after the kernel reported
that its writer closed it or moved it in, ``STABLE_SECONDS`` without such a report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

CLOSED_SECONDS = 0.25  # a writer may close a file and continue at once
STABLE_SECONDS = 5.0

#: Size of each file by name, and a number that changes when the file is written to, as of one
#: moment.
Listing = Mapping[str, tuple[int, int]]


class Inbox(Protocol):
    """A place where users drop files.

    In a bucket, every method may raise ``StorageUnavailable`` or ``StorageAccessDenied``.
    """

    def list_files(self) -> dict[str, tuple[int, int]]:
        """Return the visible files.

        Raises ``OSError`` if the inbox cannot be read, which is not the same as an empty inbox.
        """
        ...

    def age(self, name: str) -> float:
        """Return the seconds since the file arrived or was last written, 0 if it is gone."""
        ...

    def claim_file(self, name: str) -> AbstractContextManager[Path]:
        """Provide the file as a local path, and remove it from the inbox at the end.

        It stays if it was changed or replaced in the meantime, or if an error ends the context.
        Raises ``FileNotFoundError`` if it is gone.
        """
        ...

    def watch(self, on_file: Callable[[str], None]) -> AbstractContextManager[None]:
        """Call ``on_file`` with the name of each complete file, from a separate thread.

        Files are only reported if the inbox supports events.
        """
        ...


class StabilityTracker:
    """Tracks which files are complete, from close events and listings.

    A file is complete if its writer closed it, or if it did not change between two listings and
    for ``stable_seconds``. Times are seconds of one clock. The caller lists the files, and may pass
    the previous listing as ``seen``.
    """

    def __init__(
        self, *, stable_seconds: float = STABLE_SECONDS, seen: Listing | None = None
    ) -> None:
        self._stable_seconds = stable_seconds
        self._seen = dict(seen or {})
        self._due: dict[str, float] = {}
        self._closed: set[str] = set()

    def closed(self, name: str, now: float) -> None:
        """Record that a file was closed by its writer or moved in."""
        self._due[name] = now + CLOSED_SECONDS
        self._seen.pop(name, None)
        self._closed.add(name)

    def complete(self, listing: Listing, now: float) -> list[str]:
        """Return the files of the listing that are complete now.

        A file that stays in the inbox is returned again after ``stable_seconds``.
        """
        found = []
        for name, facts in listing.items():
            due = self._due.setdefault(name, now + self._stable_seconds)
            before = self._seen.get(name, facts if name in self._closed else None)
            if now >= due and before == facts:
                found.append(name)
            if now >= due or before != facts:
                self._due[name] = now + self._stable_seconds
        self._seen = dict(listing)
        self._due = {name: self._due[name] for name in listing}
        self._closed &= listing.keys()
        return found

    def wait(self, now: float) -> float:
        """Return the seconds until a file may be complete, or the next listing is due."""
        soonest = min(self._due.values(), default=now + self._stable_seconds)
        return min(max(soonest - now, 0.0), self._stable_seconds)
