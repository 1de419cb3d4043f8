"""Finding passages: the full-text leg and the vector leg of one set, fused by rank.

Whoever searches is in one organisation and sees no other; which way the legs take is theirs (see
``matching`` and ``nearest`` in the migrations). Not here: embedding the question, joining passages
and choosing the moment within them (``playhead/search``).
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
from playhead.core.records import NO_FILTER, Kind, SearchFilter, Source
from playhead.postgres.database import Database, Organisation, queries, replace_unstorable_chars
from playhead.postgres.search.embedding_sets import EmbeddingSet

_SQL = queries("chunk_search")
_DEPTH = 50  # passages of each leg that are fused
_REMEDIES = {
    "recording": "`playhead list` shows the ids there are.",
    "speaker": "`playhead speakers RECORDING` lists who speaks.",
    "language": "`playhead list` shows the languages there are: ISO 639-1, as in 'en'.",
}


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found. ``matched``: its place in each leg that found it ("words",
    "meaning"), from 1; ``cosine`` where meaning did. ``phrases``: its sentences, each as first and
    last character in the source and as seconds. ``config``: how Postgres stems its words;
    ``wanted``: it stands in what is current now."""

    recording: str
    title: str
    kind: Kind
    added: datetime
    suffix: str
    chunk: str
    recipe: str
    wanted: bool
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
        narrowed: SearchFilter,
        limit: int,
    ) -> list[Match]:
        """The best passages first; fewer than ``limit`` where there are no more. Without
        ``vector``, by words alone."""
        rows = self._of(org_id).rows(
            _SQL["search"],
            query=query,
            vector=vector,
            set_id=searched.id,
            org_id=org_id,
            **_values(narrowed),
            depth=max(_DEPTH, limit),
            limit=limit,
        )
        return [Match(**row) for row in rows]

    def matching_words(
        self, query: str, words: Collection[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Which of these (configuration, word) are words of the query, by the same stems that
        find passages."""
        configs, plain = zip(*words, strict=True) if words else ((), ())
        rows = self._database.rows(
            _SQL["matching_words"], query=query, configs=list(configs), words=list(plain)
        )
        return {(row["config"], row["word"]) for row in rows}

    def require(self, narrowed: SearchFilter, *, org_id: str) -> None:
        """Raises ``NotFound`` for a recording, speaker or language that the organisation does
        not have; the same whether another one has it."""
        unknown = [("recording", one) for one in narrowed.recordings if not _is_uuid(one)]
        if not unknown and (narrowed.recordings or narrowed.speakers or narrowed.languages):
            rows = self._of(org_id).rows(_SQL["unknown"], org_id=org_id, **_lists(narrowed))
            unknown = [(row["what"], row["value"]) for row in rows]
        for what, value in unknown:
            raise NotFound(f"No such {what}: {value}.", remedy=_REMEDIES[what])

    def nearest(
        self,
        vector: NDArray[np.float32],
        searched: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        narrowed: SearchFilter = NO_FILTER,
    ) -> list[DictRow]:
        """By vectors alone: recording, seconds and distance of the nearest passages."""
        return self._near("nearest", vector, searched, org_id, limit, narrowed)

    def nearest_exact(
        self,
        vector: NDArray[np.float32],
        searched: EmbeddingSet,
        *,
        org_id: str,
        limit: int,
        narrowed: SearchFilter = NO_FILTER,
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
        narrowed: SearchFilter,
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

    def sample_vectors(
        self, searched: EmbeddingSet, *, org_id: str, limit: int
    ) -> list[NDArray[np.float32]]:
        """Of an organisation's passages, others each time."""
        rows = self._of(org_id).rows(
            _SQL["some_vectors"], set_id=searched.id, org_id=org_id, start=uuid4(), limit=limit
        )
        return [row["vector"].to_numpy() for row in rows]

    def newer_half_filter(self, *, org_id: str) -> SearchFilter:
        """The filter that lets through about half of an organisation's recordings."""
        row = self._of(org_id).row(_SQL["half_came_after"], org_id=org_id)
        return SearchFilter(since=row["moment"]) if row else NO_FILTER

    def evaluation_samples(self, searched: EmbeddingSet, limit: int) -> list[DictRow]:
        """Passages of the set with their organisation and seconds, chosen by the hash of their
        words: the same ones while they are there."""
        return self._database.rows(_SQL["known_items"], set_id=searched.id, limit=limit)

    def _of(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def _values(narrowed: SearchFilter) -> dict[str, Any]:
    """By the names that the SQL has for them."""
    return asdict(narrowed) | _lists(narrowed)


def _lists(narrowed: SearchFilter) -> dict[str, list[Any]]:
    return {
        "kinds": list(narrowed.kinds),
        "recordings": [UUID(one) for one in narrowed.recordings],
        "speakers": replace_unstorable_chars(list(narrowed.speakers)),
        "languages": replace_unstorable_chars(list(narrowed.languages)),
    }


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True
