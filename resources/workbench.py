"""Everything outside the process, in one hand: the rooms of the database and the media store,
and for those who make results the engines too.

Opened once a command, run or tick, and by the warm worker once for all its runs; engines are
shared between runs of one process, so that weights are loaded once. Not here: what is done with
it (``pipeline_assets``, ``playhead``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from resources.engines import Engines
from resources.errors import Stopped
from resources.intake import Intake
from resources.media.store import MediaStore
from resources.postgres.attendance import Attendance
from resources.postgres.audit import Audit
from resources.postgres.catalogue import Catalogue
from resources.postgres.content import Content
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.ledger import Ledger
from resources.postgres.search import Passages
from resources.settings import Settings


@dataclass(frozen=True, slots=True)
class Rooms:
    """What is kept, and the ways to it."""

    settings: Settings
    media: MediaStore
    catalogue: Catalogue
    ledger: Ledger
    content: Content
    passages: Passages
    attendance: Attendance
    audit: Audit

    @property
    def intake(self) -> Intake:
        return Intake(self.catalogue, self.media)


@dataclass(frozen=True, slots=True)
class Workbench(Rooms):
    """The rooms, and who works in them. ``stopping`` is set by whoever wants this worker to
    hand back what it is at."""

    engines: Engines
    stopping: Event

    def keep_on(self) -> None:
        """Asked between pieces of work. Raises ``Stopped``."""
        if self.stopping.is_set():
            raise Stopped("This worker was told to stop.", remedy="playhead process goes on.")


@contextmanager
def open_rooms(settings: Settings) -> Iterator[Rooms]:
    """Starts the embedded server and migrates where needed. Raises ``DatabaseUnavailable`` or
    ``DatabaseUnsuitable``."""
    database = Database(app_url(settings))
    ledger, attendance = Ledger(database), Attendance(database)
    try:
        yield Rooms(
            settings=settings,
            media=MediaStore(settings.home / "media"),
            catalogue=Catalogue(database),
            ledger=ledger,
            content=Content(database),
            passages=Passages(database),
            attendance=attendance,
            audit=Audit(database),
        )
    finally:
        attendance.close()
        ledger.close()
        database.close()


@contextmanager
def open_workbench(
    settings: Settings, engines: Engines, stopping: Event | None = None
) -> Iterator[Workbench]:
    """As ``open_rooms``."""
    with open_rooms(settings) as rooms:
        yield Workbench(
            rooms.settings,
            rooms.media,
            rooms.catalogue,
            rooms.ledger,
            rooms.content,
            rooms.passages,
            rooms.attendance,
            rooms.audit,
            engines,
            stopping or Event(),
        )
