"""Forgetting: every row of a recording goes, in one transaction; its opaque id alone is kept, so
that what a kill interrupted is finished later.

Rows that name a recording go with it by their foreign keys. Here: those, the vectors of texts
that no other recording of its organisation has, and what to look for afterwards. Not here:
Dagster's side (``dagster_traces.py``), bytes on disk (``erasing.py``), looking (``traces.py``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from playhead.postgres.database import Database, queries

_SQL = queries("deletion")
_SENTENCES = 5  # that are looked for, of each recording
_MIN_CHARACTERS = 10  # characters: less may be anywhere by chance


class RecordingDeletion:
    """What is forgotten is gone for readers at once; a worker that is still at it loses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def identifying_texts(self, ids: Sequence[str]) -> list[str]:
        """What these recordings alone have: titles, and their longest sentences (80 characters of
        each at most). What another recording has, too, and what is short or a single English
        word, proves nothing and is left out."""
        rows = self._database.rows(_SQL["phrases"], ids=_uuids(ids), most=_SENTENCES)
        found = [row["phrase"] for row in rows]
        kept = self._database.rows(
            _SQL["distinctive"], phrases=found, ids=_uuids(ids), shortest=_MIN_CHARACTERS
        )
        return [row["phrase"] for row in kept]

    def delete(self, ids: Sequence[str]) -> None:
        """Waits for writers that are at these recordings in this moment."""
        values = {"ids": _uuids(ids)}
        with self._database.transaction() as connection:
            for name in (
                "lock",
                "bury",
                "forget_deferred",
                "forget_vectors",
                "hand_on_vectors",
                "forget",
            ):
                connection.execute(_SQL[name], values)

    def deleted(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` that are forgotten already, of any organisation."""
        rows = self._database.rows(_SQL["forgotten"], ids=list(ids))
        return [str(row["id"]) for row in rows]

    def unfinished(self) -> list[str]:
        """Recordings that are forgotten and were not yet looked for, or still found."""
        return [str(row["id"]) for row in self._database.rows(_SQL["unfinished"])]

    def mark_erased(self, ids: Sequence[str]) -> None:
        """These were looked for everywhere and not found."""
        self._database.run(_SQL["erased"], ids=_uuids(ids))


def _uuids(ids: Sequence[str]) -> list[uuid.UUID]:
    return [uuid.UUID(one) for one in ids]
