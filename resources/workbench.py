"""Everything outside the process, in one hand: the rooms of the database and the media store,
and for those who make results the engines too.

Opened once a command, run or tick, and by the warm worker once for all its runs; engines are
shared between runs of one process, so that weights are loaded once. Not here: what is done with
it (``pipeline_assets``, ``playhead``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import Event

from resources import storage
from resources.embedding.protocol import Embedder
from resources.engines import Embedders, Engines
from resources.errors import ModelUnavailable, Stopped
from resources.inbox import Inbox
from resources.intake import Intake
from resources.media.store import MediaStore
from resources.postgres.attendance import Attendance
from resources.postgres.audit import Audit
from resources.postgres.breakers import Breakers
from resources.postgres.catalogue import Catalogue
from resources.postgres.content import Content
from resources.postgres.conversations import Conversations
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.deferred import Deferred
from resources.postgres.excerpts import Excerpts
from resources.postgres.forgetting import Forgetting
from resources.postgres.ledger import Ledger
from resources.postgres.members import Members
from resources.postgres.pieces import Pieces
from resources.postgres.plans import Plans
from resources.postgres.quarantine import Quarantine
from resources.postgres.search import Passages
from resources.postgres.sets import EmbeddingSet, EmbeddingSets
from resources.postgres.spend import Spend
from resources.postgres.tables import Tables
from resources.postgres.tokens import Tokens
from resources.postgres.vector_indexes import VectorIndexes
from resources.postgres.versions import Versions
from resources.settings import Settings


@dataclass(frozen=True, slots=True)
class Rooms:
    """What is kept, and the ways to it."""

    settings: Settings
    media: MediaStore
    inbox: Inbox
    catalogue: Catalogue
    ledger: Ledger
    content: Content
    deferred: Deferred
    pieces: Pieces
    versions: Versions
    sets: EmbeddingSets
    indexes: VectorIndexes
    plans: Plans
    passages: Passages
    excerpts: Excerpts
    conversations: Conversations
    attendance: Attendance
    audit: Audit
    forgetting: Forgetting
    spend: Spend
    breakers: Breakers
    quarantine: Quarantine
    tables: Tables
    members: Members
    tokens: Tokens

    @property
    def intake(self) -> Intake:
        return Intake(self.catalogue, self.media)

    def organisation(self, named: str | None) -> str:
        """Whose rows are asked for: the one that somebody named, or that of the settings, which
        need not be there yet. Raises ``NotFound``."""
        if named is None:
            return self.settings.org
        self.members.insist_on_organisation(named)
        return named


@dataclass(frozen=True, slots=True)
class Lane:
    """A set that is kept complete."""

    set: EmbeddingSet
    embedders: Embedders

    @property
    def active(self) -> bool:
        return self.set.state == "active"

    @property
    def speakable(self) -> bool:
        """Whether its model can be had here."""
        try:
            self.embedders.of(self.set)
        except ModelUnavailable:
            return False
        return True

    @property
    def embedder(self) -> Embedder:
        """Raises ``ModelUnavailable``."""
        return self.embedders.of(self.set)


@dataclass(frozen=True, slots=True)
class Workbench(Rooms):
    """The rooms, and who works in them. ``stopping`` is set by whoever wants this worker to
    hand back what it is at."""

    engines: Engines
    stopping: Event

    def lanes(self) -> list[Lane]:
        """The sets that recordings are embedded for, the active one first; the very first set
        is made here, with the embedder that settings name. One that is not searched and whose
        model cannot be had is left out: `playhead models status` tells."""
        live = self.sets.live()
        if not any(one.state == "active" for one in live):
            embedder = self.engines.embedders.named(self.engines.embedders.default)
            self.sets.add(self.engines.embedders.default, embedder.engine, embedder.dimensions)
            live = self.sets.live()
        lanes = [Lane(one, self.engines.embedders) for one in live]
        return [lane for lane in lanes if lane.active or lane.speakable]

    def keep_on(self) -> None:
        """Asked between pieces of work. Raises ``Stopped``."""
        if self.stopping.is_set():
            raise Stopped("This worker was told to stop.", remedy="playhead process goes on.")


@contextmanager
def open_rooms(settings: Settings) -> Iterator[Rooms]:
    """Starts the embedded server and migrates where needed. Raises ``DatabaseUnavailable`` or
    ``DatabaseUnsuitable``."""
    database = Database(app_url(settings))
    ledger, content, attendance = Ledger(database), Content(database), Attendance(database)
    try:
        yield Rooms(
            settings=settings,
            media=storage.media_store(settings),
            inbox=storage.inbox(settings),
            catalogue=Catalogue(database),
            ledger=ledger,
            content=content,
            deferred=Deferred(database),
            pieces=Pieces(database),
            versions=Versions(database, ledger, content),
            sets=EmbeddingSets(database),
            indexes=VectorIndexes(database),
            plans=Plans(database),
            passages=Passages(database),
            excerpts=Excerpts(database),
            conversations=Conversations(database),
            attendance=attendance,
            audit=Audit(database),
            forgetting=Forgetting(database),
            spend=Spend(database),
            breakers=Breakers(database),
            quarantine=Quarantine(database),
            tables=Tables(database),
            members=Members(database),
            tokens=Tokens(database),
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
        opened = {room.name: getattr(rooms, room.name) for room in fields(rooms)}
        yield Workbench(**opened, engines=engines, stopping=stopping or Event())
