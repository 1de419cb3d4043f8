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

from playhead.core.errors import ModelUnavailable, Stopped
from playhead.core.protocols.embedder import Embedder
from playhead.core.settings import Settings
from playhead.engines.registry import Embedders, Engines
from playhead.inbox.protocol import Inbox
from playhead.media.store import MediaStore
from playhead.postgres.access.members import Members
from playhead.postgres.access.tokens import Tokens
from playhead.postgres.coordination.liveness import Attendance
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.deletion.rows import Forgetting
from playhead.postgres.pipeline.content import Content
from playhead.postgres.pipeline.plans import Plans
from playhead.postgres.pipeline.recordings import Catalogue
from playhead.postgres.pipeline.result_audit import Audit
from playhead.postgres.pipeline.stage_results import Ledger
from playhead.postgres.pipeline.transcript_pieces import Pieces
from playhead.postgres.pipeline.transcript_versions import Versions
from playhead.postgres.provider_use.batch_queue import Deferred
from playhead.postgres.provider_use.circuit_breakers import Breakers
from playhead.postgres.provider_use.quarantine import Quarantine
from playhead.postgres.provider_use.spend import Spend
from playhead.postgres.search.analysis_tables import Tables
from playhead.postgres.search.chunk_search import Passages
from playhead.postgres.search.conversations import Conversations
from playhead.postgres.search.embedding_sets import EmbeddingSet, EmbeddingSets
from playhead.postgres.search.excerpts import Excerpts
from playhead.postgres.search.vector_indexes import VectorIndexes
from playhead.services import stores
from playhead.services.ingest import Intake


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
            media=stores.media_store(settings),
            inbox=stores.inbox(settings),
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
