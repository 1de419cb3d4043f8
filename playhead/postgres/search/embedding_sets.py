"""Embedding sets side by side: which exist, how complete they are, which one is searched.

A set holds the vectors of one engine. One set is active; switching changes one row, and the
database refuses to switch to a set that lacks a recording.
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
_LACKS_RECORDINGS = "PH001"  # SQLSTATEs raised by the schema
_NOT_LIVE = "PH002"

State = Literal["building", "active", "standby", "retired"]


@dataclass(frozen=True, slots=True)
class EmbeddingSet:
    """The vectors of one model.

    ``name`` is the embedder's name in settings; ``engine`` identifies the model exactly; ``gate``:
    the evaluation before it was activated.
    """

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
    """The numbers of ready recordings, of those that this set lacks, and of its vectors."""

    ready: int
    lacking: int
    vectors: int


class SetIncomplete(ConfigurationError):
    """A set that lacks recordings was to be activated."""


class InvalidSetState(ConfigurationError):
    """The set is in the wrong state for this operation."""


class EmbeddingSets:
    """Manages the sets that are searched, can be searched, or are being built."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, engine: Engine, dimensions: int) -> EmbeddingSet:
        """Return the set of this engine with its partition, created if new.

        A retired set is built again. The very first set becomes active at once.
        """
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
        """Return the sets that recordings are embedded for, the active one first."""
        return [EmbeddingSet(**row) for row in self._database.rows(_SQL["live"])]

    def active(self) -> EmbeddingSet | None:
        """Return the active set, or None before the first recording is embedded."""
        return next(
            (embedding_set for embedding_set in self.live() if embedding_set.state == "active"),
            None,
        )

    def get(self, identity: int) -> EmbeddingSet:
        """Return a set. Raises ``NotFound``."""
        for embedding_set in self.all():
            if embedding_set.id == identity:
                return embedding_set
        raise NotFound(f"No such set: {identity}.", remedy="`playhead models list` lists them.")

    def progress(self, embedding_set: EmbeddingSet) -> SetProgress:
        row = self._database.row(_SQL["progress"], id=embedding_set.id)
        assert row is not None
        return SetProgress(**row)

    def failed(self, embedding_set: EmbeddingSet) -> list[DictRow]:
        """Return failures of a set that is not searched.

        Each has recording, message, remedy and attempts.
        """
        return self._database.rows(
            _SQL["failed"], id=embedding_set.id, engine=Jsonb(embedding_set.engine)
        )

    def record_gate(self, embedding_set: EmbeddingSet, facts: Json) -> None:
        self._database.run(_SQL["record_gate"], id=embedding_set.id, gate=Jsonb(facts))

    def activate(self, embedding_set: EmbeddingSet) -> None:
        """Search this set from now on; the previous one becomes standby.

        Raises ``SetIncomplete`` if it lacks a recording, and ``InvalidSetState`` for a retired set.
        """
        self._switch(_SQL["activate"], embedding_set)

    def retire(self, embedding_set: EmbeddingSet) -> None:
        """Delete the set's vectors and indexes. Raises ``InvalidSetState`` for the active one."""
        self._switch(_SQL["retire"], embedding_set)

    def _switch(self, sql: bytes, embedding_set: EmbeddingSet) -> DictRow | None:
        try:
            return self._database.row(sql, id=embedding_set.id)
        except psycopg.Error as error:
            raise _refusal(error, embedding_set) from error


def _refusal(error: psycopg.Error, embedding_set: EmbeddingSet) -> Exception:
    message = f"{embedding_set.name} (set {embedding_set.id}): {error.diag.message_primary}."
    if error.sqlstate == _LACKS_RECORDINGS:
        return SetIncomplete(
            message, remedy=f"Wait until it is built: playhead models status {embedding_set.id}"
        )
    if error.sqlstate == _NOT_LIVE:
        return InvalidSetState(message, remedy="`playhead models list` shows the state of each.")
    return error


def same_engine(embedding_set: EmbeddingSet, engine: Engine) -> bool:
    """Return True if this engine's vectors belong to the set."""
    return embedding_set.engine_hash == content_hash(asdict(engine))
