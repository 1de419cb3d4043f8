"""Finding passages: the full-text leg and the vector leg of one set, fused by rank.

The scan of the vectors is exact within an organisation that is small, or when a filter is
given; see ``nearest`` in the migrations. Not here: embedding the question and
choosing the moment within a passage (``playhead/search``).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow

from resources.postgres.database import Database, Organisation, queries
from resources.postgres.sets import EmbeddingSet
from resources.records import ANYTHING, Filter

_SQL = queries("search")
_DEPTH = 50  # passages of each leg that are fused


class Passages:
    """Read-only; names one set a search, so that two models' vectors never meet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        query: str,
        vector: NDArray[np.float32] | None,
        searched: EmbeddingSet,
        *,
        org_id: str,
        narrowed: Filter,
        limit: int,
    ) -> list[DictRow]:
        """The best passages first; without ``vector``, by words alone."""
        return self._of(org_id).rows(
            _SQL["search"],
            query=query,
            vector=vector,
            set_id=searched.id,
            org_id=org_id,
            **_values(narrowed),
            depth=max(_DEPTH, limit),
            limit=limit,
        )

    def nearest(
        self,
        vector: NDArray[np.float32],
        searched: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        narrowed: Filter = ANYTHING,
    ) -> list[DictRow]:
        """By vectors alone: recording, seconds and distance of the nearest passages."""
        return self._near("nearest", vector, searched, org_id, limit, narrowed)

    def nearest_exactly(
        self,
        vector: NDArray[np.float32],
        searched: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        narrowed: Filter = ANYTHING,
    ) -> list[DictRow]:
        """As ``nearest``, by a scan of them all."""
        return self._near("nearest_exactly", vector, searched, org_id, limit, narrowed)

    def _near(
        self,
        name: str,
        vector: NDArray[np.float32],
        searched: EmbeddingSet,
        org_id: str,
        limit: int,
        narrowed: Filter,
    ) -> list[DictRow]:
        return self._of(org_id).rows(
            _SQL[name],
            vector=vector,
            set_id=searched.id,
            org_id=org_id,
            **_values(narrowed),
            depth=limit,
        )

    def sizes(self, searched: EmbeddingSet) -> dict[str, int]:
        """How many vectors each organisation has in the set."""
        rows = self._database.rows(_SQL["sizes"], set_id=searched.id)
        return {row["org_id"]: row["vectors"] for row in rows}

    def some_vectors(
        self, searched: EmbeddingSet, *, org_id: str, limit: int
    ) -> list[NDArray[np.float32]]:
        """Of an organisation's passages, others each time."""
        rows = self._of(org_id).rows(
            _SQL["some_vectors"], set_id=searched.id, org_id=org_id, start=uuid4(), limit=limit
        )
        return [row["vector"].to_numpy() for row in rows]

    def younger_half(self, *, org_id: str) -> Filter:
        """The filter that lets through about half of an organisation's recordings."""
        row = self._of(org_id).row(_SQL["half_came_after"], org_id=org_id)
        return Filter(since=row["moment"]) if row else ANYTHING

    def known_items(self, searched: EmbeddingSet, limit: int) -> list[DictRow]:
        """Passages of the set with their organisation and seconds, chosen by the hash of their
        words: the same ones while they are there."""
        return self._database.rows(_SQL["known_items"], set_id=searched.id, limit=limit)

    def _of(self, org_id: str) -> Organisation:
        return self._database.within(org_id, "playhead_app")


def _values(narrowed: Filter) -> dict[str, Any]:
    """By the names that the SQL has for them."""
    return asdict(narrowed) | {
        name: list(getattr(narrowed, name))
        for name in ("kinds", "recordings", "speakers", "languages")
    }
