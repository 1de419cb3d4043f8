"""Conversations: questions, answers, and the citations behind each answer.

Read and written by the application role, so within one organisation. When a recording is deleted,
the database blanks the words quoted from it here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from playhead.core.errors import NotFound, RecordingDeleted
from playhead.core.records import Json
from playhead.postgres.database import (
    Connection,
    Database,
    Organisation,
    queries,
    replace_unstorable_chars,
)

_SQL = queries("conversations")


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation by its first question; None if that mentioned a deleted recording."""

    id: str
    begun_at: datetime
    question: str | None
    found: bool
    turns: int


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A question and its answer.

    ``sentences``: text and cites (numbers of citations) each; ``citations``: number, recording,
    chunk, quote, start_seconds and end_seconds each. ``engine``: the answerer.
    """

    question: str
    found: bool
    note: str | None
    engine: Json
    sentences: Sequence[Json]
    citations: Sequence[Json]


class Conversations:
    """Stores conversations of all organisations, one organisation per call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def summaries(self, org_id: str, limit: int) -> list[ConversationSummary]:
        """Return the conversations, newest first."""
        rows = self._within(org_id).rows(_SQL["summaries"], limit=limit)
        return [ConversationSummary(**row) for row in rows]

    def turns(self, org_id: str, conversation: str) -> list[DictRow]:
        """Return the turns, oldest first, with sentences and citations as JSON.

        Raises ``NotFound``.
        """
        within = self._within(org_id)
        if within.row(_SQL["conversation"], conversation=conversation) is None:
            raise NotFound(
                f"No such conversation: {conversation!r}.",
                remedy="`playhead conversations` lists them.",
            )
        return within.rows(_SQL["turns"], conversation=conversation)

    def add(self, org_id: str, conversation: str | None, turn: NewTurn) -> str | None:
        """Store a turn of a conversation, or of a new one if None is given. Returns its id.

        Returns None, and stores nothing, if the organisation never had a recording. Raises
        ``RecordingDeleted`` if a cited recording was deleted in the meantime; nothing is stored
        then.
        """
        try:
            with self._within(org_id).transaction() as connection:
                conversation_id = conversation or _create(connection)
                if conversation_id is not None:
                    _insert_turn(connection, conversation_id, turn)
        except psycopg.errors.ForeignKeyViolation:
            raise RecordingDeleted from None
        return conversation_id

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def _create(connection: Connection) -> str | None:
    row = connection.execute(_SQL["create"]).fetchone()
    return row["id"] if row else None


def _insert_turn(connection: Connection, conversation: str, turn: NewTurn) -> None:
    values: dict[str, Any] = {"conversation": conversation}
    connection.execute(_SQL["lock"], values)
    turn_values = {
        "question": replace_unstorable_chars(turn.question),
        "found": turn.found,
        "note": replace_unstorable_chars(turn.note),
        "engine": Jsonb(turn.engine),
    }
    row = connection.execute(_SQL["put_turn"], values | turn_values).fetchone()
    assert row is not None
    values["turn"] = row["ordinal"]
    sentences = [{"ordinal": n, **sentence} for n, sentence in enumerate(turn.sentences, 1)]
    connection.execute(
        _SQL["put_sentences"], values | {"sentences": Jsonb(replace_unstorable_chars(sentences))}
    )
    citations = Jsonb(replace_unstorable_chars(turn.citations))
    connection.execute(_SQL["put_citations"], values | {"citations": citations})
