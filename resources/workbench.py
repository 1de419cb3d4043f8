"""Everything outside the process that the pipeline works with, in one hand.

Opened once a run (or a sensor's life); engines are shared between runs of one process, so
that weights are loaded once. Not here: what is done with it (``pipeline_assets``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from resources.engines import Engines
from resources.errors import Stopped
from resources.intake import Intake
from resources.media.store import MediaStore
from resources.postgres.catalogue import Catalogue
from resources.postgres.content import Content
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.ledger import Ledger
from resources.settings import Settings


@dataclass(frozen=True, slots=True)
class Workbench:
    settings: Settings
    engines: Engines
    media: MediaStore
    catalogue: Catalogue
    ledger: Ledger
    content: Content
    stopping: Event = field(default_factory=Event)  # set: hand back what is under way

    def keep_on(self) -> None:
        """Asked between pieces of work. Raises ``Stopped``."""
        if self.stopping.is_set():
            raise Stopped("This worker was told to stop.", remedy="playhead process goes on.")

    @property
    def intake(self) -> Intake:
        return Intake(self.catalogue, self.media)


@contextmanager
def open_workbench(settings: Settings, engines: Engines) -> Iterator[Workbench]:
    """Starts the embedded server and migrates where needed. Raises ``DatabaseUnavailable`` or
    ``DatabaseUnsuitable``."""
    database = Database(app_url(settings))
    ledger = Ledger(database)
    try:
        yield Workbench(
            settings=settings,
            engines=engines,
            media=MediaStore(settings.home / "media"),
            catalogue=Catalogue(database),
            ledger=ledger,
            content=Content(database),
        )
    finally:
        ledger.close()
        database.close()
