"""Protocol of an inbox, and detection of completely written files.

A file is complete when it has not changed for a while: ``CLOSED_SECONDS`` after the kernel reported
that its writer closed it or moved it in, ``STABLE_SECONDS`` without such a report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

CLOSED_SECONDS = 0.25  # a writer that closes and goes on at once has not finished
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

    def watch(self, tell: Callable[[str], None]) -> AbstractContextManager[None]:
        """Call ``tell`` with the name of each complete file, from a separate thread.

        Files are only reported if the inbox supports events.
        """
        ...


def unchanged_files(seen: Listing, now: Listing) -> list[str]:
    """Return the files that have not been written to since the previous listing."""
    return [name for name, facts in now.items() if seen.get(name) == facts]


class StabilityTracker:
    """Tracks which files are complete, from close events and listings.

    Times are seconds of one clock. The caller lists the files.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._due: dict[str, float] = {}

    def closed(self, name: str, now: float) -> None:
        """Record that a file was closed by its writer or moved in."""
        self._due[name] = now + CLOSED_SECONDS
        self._seen.pop(name, None)

    def resolve_filter(self, listing: Listing, now: float) -> list[str]:
        """Return the files of the listing that are complete now.

        A file that stays in the inbox is returned again after ``STABLE_SECONDS``.
        """
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
        """Return the seconds until a file may be complete, or the next listing is due."""
        soonest = min(self._due.values(), default=now + STABLE_SECONDS)
        return min(max(soonest - now, 0.0), STABLE_SECONDS)
