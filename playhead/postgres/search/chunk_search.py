"""Chunk search: full-text search and vector search of one set, fused by rank.

A search sees one organisation, and the size of that organisation decides the route of both parts
(see ``search_text`` and ``nearest`` in the schema).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow

from playhead.core.errors import NotFound
from playhead.core.ids import parse_uuid
from playhead.core.records import NO_FILTER, Kind, SearchFilter, Source
from playhead.postgres.database import Database, Organisation, queries, replace_unstorable_chars
from playhead.postgres.search.embedding_sets import EmbeddingSet

_SQL = queries("chunk_search")
_DEPTH = 50  # hits of each leg that are fused
_REMEDIES = {
    "recording": "`playhead list` lists the recordings.",
    "speaker": "`playhead speakers RECORDING` lists the speakers.",
    "language": "`playhead list` shows the languages, as ISO 639-1 codes such as 'en'.",
}


@dataclass(frozen=True, slots=True)
class Match:
    """A chunk that was found.

    ``matched``: its rank in each part that found it ("text", "vector"), from 1; ``cosine`` if the
    vector search did. ``phrases``: its sentences, each as first and last character in the source
    and as seconds. ``config``: the text search configuration of its words; ``is_current``: it
    belongs to the current result.
    """

    recording: str
    title: str
    kind: Kind
    added: datetime
    suffix: str
    chunk: str
    recipe: str
    is_current: bool
    source: Source
    ordinal: int
    text: str
    char_start: int
    char_end: int
    start_seconds: float | None
    end_seconds: float | None
    phrases: Sequence[tuple[int, int, float, float]]
    speaker: str | None
    config: str
    score: float
    cosine: float | None
    matched: Mapping[str, int]


class ChunkSearch:
    """Searches chunks. Each search names one set, so that two models' vectors never mix."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        query: str,
        vector: NDArray[np.float32] | None,
        embedding_set: EmbeddingSet,
        *,
        org_id: str,
        filters: SearchFilter,
        limit: int,
    ) -> list[Match]:
        """Return the best chunks, best first, at most ``limit``; without ``vector`` by text."""
        rows = self._of(org_id).rows(
            _SQL["search"],
            query=query,
            vector=vector,
            set_id=embedding_set.id,
            org_id=org_id,
            **_values(filters),
            depth=max(_DEPTH, limit),
            limit=limit,
        )
        return [Match(**row) for row in rows]

    def matching_words(
        self, query: str, words: Collection[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Return which of these (configuration, word) are words of the query.

        Uses the same stems as the full-text search.
        """
        configs, plain = zip(*words, strict=True) if words else ((), ())
        rows = self._database.rows(
            _SQL["matching_words"], query=query, configs=list(configs), words=list(plain)
        )
        return {(row["config"], row["word"]) for row in rows}

    def require(self, filters: SearchFilter, *, org_id: str) -> None:
        """Check a filter. Raises ``NotFound`` for an unknown recording, speaker or language.

        The error is the same whether another organisation has it or not.
        """
        unknown = [
            ("recording", recording)
            for recording in filters.recordings
            if not parse_uuid(recording)
        ]
        if not unknown and (filters.recordings or filters.speakers or filters.languages):
            rows = self._of(org_id).rows(_SQL["unknown"], org_id=org_id, **_lists(filters))
            unknown = [(row["what"], row["value"]) for row in rows]
        for noun, value in unknown:
            raise NotFound(f"No such {noun}: {value}.", remedy=_REMEDIES[noun])

    def nearest(
        self,
        vector: NDArray[np.float32],
        embedding_set: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        filters: SearchFilter = NO_FILTER,
    ) -> list[DictRow]:
        """Return recording, seconds and distance of the nearest chunks, by vectors alone."""
        return self._near("nearest", vector, embedding_set, org_id, limit, filters)

    def nearest_exact(
        self,
        vector: NDArray[np.float32],
        embedding_set: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        filters: SearchFilter = NO_FILTER,
    ) -> list[DictRow]:
        """Return what ``nearest`` does, from a full scan."""
        return self._near("nearest_exact", vector, embedding_set, org_id, limit, filters)

    def _near(
        self,
        name: str,
        vector: NDArray[np.float32],
        embedding_set: EmbeddingSet,
        org_id: str,
        limit: int,
        filters: SearchFilter,
    ) -> list[DictRow]:
        return self._of(org_id).rows(
            _SQL[name],
            vector=vector,
            set_id=embedding_set.id,
            org_id=org_id,
            **_values(filters),
            depth=limit,
        )

    def sizes(self, embedding_set: EmbeddingSet) -> dict[str, int]:
        """Return the number of vectors per organisation in the set."""
        rows = self._database.rows(_SQL["sizes"], set_id=embedding_set.id)
        return {row["org_id"]: row["vectors"] for row in rows}

    def sample_vectors(
        self, embedding_set: EmbeddingSet, *, org_id: str, limit: int
    ) -> list[NDArray[np.float32]]:
        """Return random vectors of an organisation's chunks."""
        rows = self._of(org_id).rows(
            _SQL["sample_vectors"],
            set_id=embedding_set.id,
            org_id=org_id,
            start=uuid4(),
            limit=limit,
        )
        return [row["vector"].to_numpy() for row in rows]

    def newer_half_filter(self, *, org_id: str) -> SearchFilter:
        """Return a filter that matches about half of an organisation's recordings."""
        row = self._of(org_id).row(_SQL["newer_half"], org_id=org_id)
        return SearchFilter(since=row["moment"]) if row else NO_FILTER

    def evaluation_samples(self, embedding_set: EmbeddingSet, limit: int) -> list[DictRow]:
        """Return chunks of the set with their organisation and seconds.

        They are chosen by the hash of their text, so they stay the same as long as they exist.
        """
        return self._database.rows(_SQL["evaluation_samples"], set_id=embedding_set.id, limit=limit)

    def _of(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def _values(filters: SearchFilter) -> dict[str, Any]:
    """Return the filter by the parameter names of the SQL."""
    return asdict(filters) | _lists(filters)


def _lists(filters: SearchFilter) -> dict[str, list[Any]]:
    return {
        "kinds": list(filters.kinds),
        "recordings": [UUID(recording) for recording in filters.recordings],
        "speakers": replace_unstorable_chars(list(filters.speakers)),
        "languages": replace_unstorable_chars(list(filters.languages)),
    }
