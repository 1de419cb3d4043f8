"""Excerpts that answers are written from: chunks with their sentences, and stems of words.

Read with the application role, so within one organisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from psycopg.rows import DictRow

from playhead.core.protocols.answerer import Excerpt, TimedSentence
from playhead.postgres.database import Database, Organisation, queries, replace_unstorable_chars

_SQL = queries("excerpts")


class Excerpts:
    """Reads excerpts and stems."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, org_id: str, chunks: Sequence[str]) -> list[Excerpt]:
        """Return the excerpts of chunks by their ids, in that order, without deleted ones."""
        rows = self._within(org_id).rows(_SQL["excerpts"], chunks=list(chunks))
        return [_excerpt(row) for row in rows]

    def stems(self, org_id: str, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        """Return the stems of each text's words by the named configuration, without stop words."""
        rows = self._within(org_id).rows(
            _SQL["terms"], stems=stems, texts=replace_unstorable_chars(texts)
        )
        return [frozenset(row["terms"]) for row in rows]

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def _excerpt(row: DictRow) -> Excerpt:
    start, end = row.pop("start_seconds") or 0.0, row.pop("end_seconds") or 0.0
    phrases, base, text = row.pop("phrases"), row["char_start"], row["text"]
    timed = [
        TimedSentence(text[max(0, first - base) : last - base].strip(), start_seconds, end_seconds)
        for first, last, start_seconds, end_seconds in phrases
    ]
    fallback = (TimedSentence(text.strip(), start, end),)
    return Excerpt(**row, lines=tuple(line for line in timed if line.text) or fallback)
