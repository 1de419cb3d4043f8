"""Sets of vectors, side by side: which there are, how complete, which one is searched.

A set holds the vectors of one engine. One is active; it is switched by one row, and the
database refuses to switch to a set that lacks a recording. Not here: making vectors
(``content.py``), their indexes (``vector_indexes.py``), whether a set is good enough
(``playhead/services/set_evaluation.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from playhead.core.errors import ConfigurationError, NotFound
from playhead.core.records import Engine, Json, content_hash
from playhead.postgres.database import Database, queries

_SQL = queries("embedding_sets")
_LACKS_RECORDINGS = "PH001"  # as the migration raises them
_NOT_LIVE = "PH002"

State = Literal["building", "active", "standby", "retired"]


@dataclass(frozen=True, slots=True)
class EmbeddingSet:
    """The vectors of one model. ``name`` is the embedder's in settings; ``engine`` tells who made
    the vectors exactly; ``gate``: what was measured before it was activated."""

    id: int
    name: str
    engine: Json
    engine_hash: str
    dimensions: int
    state: State
    gate: Json | None
    created_at: datetime
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class SetProgress:
    """Recordings that are ready, those of them this set lacks, and the set's vectors."""

    ready: int
    lacking: int
    vectors: int


class SetIncomplete(ConfigurationError):
    """A set that lacks recordings was to be searched."""


class InvalidSetState(ConfigurationError):
    """A set is in the wrong state for what was asked."""


class EmbeddingSets:
    """What can be searched, what is searched, what is being built."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, engine: Engine, dimensions: int) -> EmbeddingSet:
        """The set of this engine, with its partition; made when it is new, built again when it
        was retired. The very first is active at once."""
        row = self._database.row(
            _SQL["create"],
            name=name,
            engine=Jsonb(asdict(engine)),
            engine_hash=content_hash(asdict(engine)),
            dimensions=dimensions,
        )
        assert row is not None
        return self.get(row["id"])

    def all(self) -> list[EmbeddingSet]:
        return [EmbeddingSet(**row) for row in self._database.rows(_SQL["all"])]

    def live(self) -> list[EmbeddingSet]:
        """Those that recordings are embedded for, the active one first."""
        return [EmbeddingSet(**row) for row in self._database.rows(_SQL["live"])]

    def active(self) -> EmbeddingSet | None:
        """None before the first recording is embedded."""
        return next((one for one in self.live() if one.state == "active"), None)

    def get(self, identity: int) -> EmbeddingSet:
        """Raises ``NotFound``."""
        for one in self.all():
            if one.id == identity:
                return one
        raise NotFound(f"No such set: {identity}.", remedy="`playhead models list` has them.")

    def progress(self, one: EmbeddingSet) -> SetProgress:
        row = self._database.row(_SQL["progress"], id=one.id)
        assert row is not None
        return SetProgress(**row)

    def failed(self, one: EmbeddingSet) -> list[DictRow]:
        """What could not be made for a set that is not searched: recording, message, remedy and
        attempts of each."""
        return self._database.rows(_SQL["failed"], id=one.id, engine=Jsonb(one.engine))

    def record_gate(self, one: EmbeddingSet, facts: Json) -> None:
        self._database.run(_SQL["record_gate"], id=one.id, gate=Jsonb(facts))

    def activate(self, one: EmbeddingSet) -> None:
        """Search this set from now on; the one before stays as standby. Raises ``HalfBuilt`` when
        a recording would go missing, ``NotLive`` for a retired set."""
        self._switch(_SQL["activate"], one)

    def retire(self, one: EmbeddingSet) -> None:
        """Drop the set's vectors and indexes. Raises ``NotLive`` for the active one."""
        self._switch(_SQL["retire"], one)

    def _switch(self, sql: bytes, one: EmbeddingSet) -> DictRow | None:
        try:
            return self._database.row(sql, id=one.id)
        except psycopg.Error as error:
            raise _refusal(error, one) from error


def _refusal(error: psycopg.Error, one: EmbeddingSet) -> Exception:
    message = f"{one.name} (set {one.id}): {error.diag.message_primary}."
    if error.sqlstate == _LACKS_RECORDINGS:
        return SetIncomplete(
            message, remedy=f"Let it be built first: playhead models status {one.id}"
        )
    if error.sqlstate == _NOT_LIVE:
        return InvalidSetState(message, remedy="`playhead models list` shows the state of each.")
    return error


def same_engine(one: EmbeddingSet, engine: Engine) -> bool:
    """Whether this engine's vectors belong into the set."""
    return one.engine_hash == content_hash(asdict(engine))
