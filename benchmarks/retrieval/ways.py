"""The ways to search: each leg alone, both fused, and fused with a reranker.

All are Playhead's own search from end to end; a way without a leg passes no words, or no vector, to
the chunk search. ``figures.py`` evaluates the hits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.figures import MAX_DEPTH, OpenedHit, SearchedQuestion
from benchmarks.retrieval.labelled import Label
from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.engines.registry import EmbedderRegistry
from playhead.engines.reranking.nearest_sentence import NearestSentence
from playhead.postgres.database import Database
from playhead.postgres.search.chunk_search import ChunkSearch, Match
from playhead.postgres.search.embedding_sets import EmbeddingSet
from playhead.search.sentence_cache import SentenceCache
from playhead.search.service import SearchService
from playhead.services.context import PipelineServices

AnswersByWay = dict[str, list[SearchedQuestion]]  # by way


class TextSearch(ChunkSearch):
    """Full-text search alone."""

    def find(
        self,
        query: str,
        vector: NDArray[np.float32] | None,
        embedding_set: EmbeddingSet,
        **how: Any,
    ) -> list[Match]:
        return super().find(query, None, embedding_set, **how)


class VectorSearch(ChunkSearch):
    """Vector search alone."""

    def find(
        self,
        query: str,
        vector: NDArray[np.float32] | None,
        embedding_set: EmbeddingSet,
        **how: Any,
    ) -> list[Match]:
        return super().find("", vector, embedding_set, **how)


class CachingEmbedder:
    """An embedder that embeds a text once.

    The sentences of the hits are the same for every way, so thousands of searches need not wait for
    them again.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.engine, self.price = embedder.engine, embedder.price
        self.dimensions, self.window_tokens = embedder.dimensions, embedder.window_tokens
        self.tokenizer, self.tokens = embedder.tokenizer, embedder.tokens
        self.batches = embedder.batches
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._vectors[text] for text in texts], np.float32)


def with_cache(embedders: EmbedderRegistry) -> EmbedderRegistry:
    """Return the default embedder with a cache."""
    name = embedders.default
    return EmbedderRegistry(name, {name: lambda: CachingEmbedder(embedders.named(name))})


def open_searches(
    services: PipelineServices, database: Database, embedders: EmbedderRegistry
) -> dict[str, SearchService]:
    """Return the ways by name, in the order of the table."""
    legs = {"words": TextSearch, "meaning": VectorSearch, "fused": ChunkSearch}
    searches = {
        name: SearchService(
            passages=search_class(database),
            sets=services.search.embedding_sets,
            embedders=embedders,
            media=services.files.media,
            org_id=services.settings.org,
            cache=SentenceCache(0),  # no cache between questions
        )
        for name, search_class in legs.items()
    }
    return searches | {"reranked": replace(searches["fused"], reranker=NearestSentence())}


def search_every_way(
    searches: Mapping[str, SearchService], labels: Iterable[Label], names: Mapping[str, str]
) -> AnswersByWay:
    """Search every question by every way, in turn so that a busy machine slows all.

    ``names`` are those of the talks by the ids of their recordings.
    """
    answers: AnswersByWay = {way: [] for way in searches}
    for label in labels:
        for way, search in searches.items():
            start = time.perf_counter()
            hits = search(label.question, limit=MAX_DEPTH).hits
            seconds = time.perf_counter() - start
            opened_hits = (
                OpenedHit(names[hit.recording], hit.start_seconds, hit.end_seconds) for hit in hits
            )
            answers[way].append(SearchedQuestion(label, tuple(opened_hits), seconds))
    return answers
