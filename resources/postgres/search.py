"""Finding passages: the full-text leg and the vector leg of one set, fused by rank.

The scan of the vectors is exact within an organisation that is small, or when a filter is
given; see ``nearest`` in the migrations. Not here: embedding the question and
choosing the moment within a passage (``playhead/search``).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow

from resources.postgres.database import Database, Organisation, queries
from resources.postgres.sets import EmbeddingSet
from resources.records import Filter

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
        self, vector: NDArray[np.float32], searched: EmbeddingSet, *, org_id: str, limit: int
    ) -> list[DictRow]:
        """By vectors alone: recording, seconds and distance of the nearest passages."""
        return self._of(org_id).rows(
            _SQL["nearest"], vector=vector, set_id=searched.id, org_id=org_id, depth=limit
        )

    def nearest_exactly(
        self, vector: NDArray[np.float32], searched: EmbeddingSet, *, org_id: str, limit: int
    ) -> list[DictRow]:
        """As ``nearest``, by a scan of them all."""
        return self._of(org_id).rows(
            _SQL["nearest_exactly"], vector=vector, set_id=searched.id, org_id=org_id, depth=limit
        )

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
