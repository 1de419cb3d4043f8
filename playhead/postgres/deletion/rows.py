"""Deletes every row of a recording in one transaction.

Only its opaque id is kept, so that a deletion interrupted by a kill is finished later. Rows that
reference a recording are deleted by their foreign keys; vectors of texts that no other recording of
the organisation has are deleted explicitly.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from playhead.postgres.database import Database, queries

_SQL = queries("deletion")
_SENTENCES = 5  # per recording, to search for
_MIN_CHARACTERS = 10  # shorter texts may occur by chance


class RecordingDeletion:
    """Deletes recordings. Readers lose them at once, a worker loses its claim."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def identifying_texts(self, ids: Sequence[str]) -> list[str]:
        """Return texts that only these recordings have: titles and longest sentences.

        At most 80 characters of each. Texts that another recording has, too, and those that are
        short or a single English word prove nothing and are left out.
        """
        rows = self._database.rows(_SQL["phrases"], ids=_uuids(ids), most=_SENTENCES)
        phrases = [row["phrase"] for row in rows]
        distinctive = self._database.rows(
            _SQL["distinctive"], phrases=phrases, ids=_uuids(ids), shortest=_MIN_CHARACTERS
        )
        return [row["phrase"] for row in distinctive]

    def delete(self, ids: Sequence[str]) -> None:
        """Delete all rows of these recordings. Waits for transactions that write to them."""
        values = {"ids": _uuids(ids)}
        with self._database.transaction() as connection:
            for name in (
                "lock",
                "add_tombstones",
                "delete_batch_requests",
                "delete_vectors",
                "reassign_vectors",
                "delete",
            ):
                connection.execute(_SQL[name], values)

    def key_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the sha-256 of each recording's partition key, also after its deletion."""
        rows = self._database.rows(_SQL["key_hashes"], ids=_uuids(ids))
        return {str(row["id"]): row["hash"] for row in rows}

    def deleted(self, ids: Sequence[str]) -> list[str]:
        """Return those of ``ids`` that are already deleted, of any organisation."""
        rows = self._database.rows(_SQL["deleted"], ids=list(ids))
        return [str(row["id"]) for row in rows]

    def unfinished(self) -> list[str]:
        """Return deleted recordings that were not yet scanned for, or were still found."""
        return [str(row["id"]) for row in self._database.rows(_SQL["unfinished"])]

    def mark_erased(self, ids: Sequence[str]) -> None:
        """Mark recordings as scanned for everywhere and not found."""
        self._database.run(_SQL["mark_erased"], ids=_uuids(ids))


def _uuids(ids: Sequence[str]) -> list[uuid.UUID]:
    return [uuid.UUID(identity) for identity in ids]
