"""Measure recall: the share of the nearest chunks of an exact scan that a search finds.

The queries are vectors of the organisation itself, slightly moved: without a filter, and with one
that admits the newer half of its recordings. Measured per size of organisation, since the size
determines the query plan (``nearest`` in the migrations).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow

from playhead.core.records import NO_FILTER
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.embedding_sets import EmbeddingSet

#: Share of an exact scan's hits. Decision 18 lists what each query plan reaches.
MIN_RECALL = 0.99
DEPTH = 10
ORGANISATIONS = 3  # per size; an exact scan of the largest takes a second
QUESTIONS = 30  # per organisation; a single miss must not fail the check
_MOVED = 0.3  # share of a vector's length
_SIZES = {"up to 1,000": 1_000, "up to 10,000": 10_000, "up to 100,000": 100_000}
_LARGEST = "more"


@dataclass(frozen=True, slots=True)
class RecallBySize:
    """Recall of organisations of one size.

    ``recall`` and ``filtered``: without and with a filter, from 0 to 1. ``short``: the number of
    answers with fewer hits than the exact scan.
    """

    size: str
    organisations: int
    recall: float
    filtered: float
    short: int

    @property
    def good(self) -> bool:
        return min(self.recall, self.filtered) >= MIN_RECALL and not self.short


def recall(answer: Sequence[DictRow], exact: Sequence[DictRow]) -> float:
    """Return the share of the exact hits that ``answer`` contains, from 0 to 1.

    Compares distances, since equally distant hits may come in any order.
    """
    reach = exact[-1]["distance"] + 1e-6 if exact else 0.0
    return sum(hit["distance"] <= reach for hit in answer) / len(exact) if exact else 1.0


def measure_recall(embedding_set: EmbeddingSet, passages: ChunkSearch) -> list[RecallBySize]:
    """Return the recall per size of organisation, each from a random sample of organisations."""
    orgs: dict[str, list[str]] = {}
    for org, vectors in passages.sizes(embedding_set).items():
        orgs.setdefault(_size(vectors), []).append(org)
    return [
        _measure(
            size,
            random.sample(orgs[size], min(ORGANISATIONS, len(orgs[size]))),
            embedding_set,
            passages,
        )
        for size in (*_SIZES, _LARGEST)
        if size in orgs
    ]


def _size(vectors: int) -> str:
    return next((size for size, maximum in _SIZES.items() if vectors <= maximum), _LARGEST)


def _measure(
    size: str, orgs: Sequence[str], embedding_set: EmbeddingSet, passages: ChunkSearch
) -> RecallBySize:
    unfiltered: list[float] = []
    filtered: list[float] = []
    short = 0
    for org in orgs:
        half = passages.newer_half_filter(org_id=org)
        for question in _questions(embedding_set, passages, org):
            for recalls, filters in ((unfiltered, NO_FILTER), (filtered, half)):
                answer, exact = (
                    search(question, embedding_set, org_id=org, limit=DEPTH, filters=filters)
                    for search in (passages.nearest, passages.nearest_exact)
                )
                recalls.append(recall(answer, exact))
                short += len(answer) < len(exact)
    return RecallBySize(
        size, len(orgs), statistics.fmean(unfiltered), statistics.fmean(filtered), short
    )


def _questions(
    embedding_set: EmbeddingSet, passages: ChunkSearch, org: str
) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng()
    for vector in passages.sample_vectors(embedding_set, org_id=org, limit=QUESTIONS):
        step = rng.standard_normal(len(vector), dtype=np.float32)
        reach = _MOVED * np.linalg.norm(vector) / np.linalg.norm(step)
        yield vector + np.float32(reach) * step
