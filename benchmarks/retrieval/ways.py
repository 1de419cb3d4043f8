"""The ways a question is searched: each leg alone, both fused, and fused with a reranker.

All are Playhead's own search from end to end; a way that leaves out a leg hands the room of
passages no words, or no vector. Not here: what is computed of the hits (``figures.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.figures import DEEPEST, Answered, Opened
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

Asked = dict[str, list[Answered]]  # by way


class ByWords(ChunkSearch):
    """Full text alone."""

    def find(
        self, query: str, vector: NDArray[np.float32] | None, searched: EmbeddingSet, **how: Any
    ) -> list[Match]:
        return super().find(query, None, searched, **how)


class ByMeaning(ChunkSearch):
    """Vectors alone."""

    def find(
        self, query: str, vector: NDArray[np.float32] | None, searched: EmbeddingSet, **how: Any
    ) -> list[Match]:
        return super().find("", vector, searched, **how)


class Remembering:
    """An embedder that embeds a text once: the sentences of what is found are the same by every
    way, and thousands of searches need not wait for them again."""

    def __init__(self, embedder: Embedder) -> None:
        self.engine, self.price = embedder.engine, embedder.price
        self.dimensions, self.window_tokens = embedder.dimensions, embedder.window_tokens
        self.tokenizer, self.tokens = embedder.tokenizer, embedder.tokens
        self.batches = embedder.batches
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._known[text] for text in texts], np.float32)


def remembering(embedders: EmbedderRegistry) -> EmbedderRegistry:
    """The default one, remembering."""
    name = embedders.default
    return EmbedderRegistry(name, {name: lambda: Remembering(embedders.named(name))})


def ways(
    services: PipelineServices, database: Database, embedders: EmbedderRegistry
) -> dict[str, SearchService]:
    """By name, in the order of the table."""
    legs = {"words": ByWords, "meaning": ByMeaning, "fused": ChunkSearch}
    searches = {
        name: SearchService(
            passages=room(database),
            sets=services.search.embedding_sets,
            embedders=embedders,
            media=services.files.media,
            org_id=services.settings.org,
            cache=SentenceCache(0),  # every question is the first
        )
        for name, room in legs.items()
    }
    return searches | {"reranked": replace(searches["fused"], reranker=NearestSentence())}


def by_way(
    searches: Mapping[str, SearchService], labels: Iterable[Label], names: Mapping[str, str]
) -> Asked:
    """Every question by every way, the ways in turn so that a busy machine slows all; ``names``
    are those of the talks by the ids of their recordings."""
    asked: Asked = {way: [] for way in searches}
    for label in labels:
        for way, search in searches.items():
            start = time.perf_counter()
            hits = search(label.question, limit=DEEPEST).hits
            seconds = time.perf_counter() - start
            opened = (
                Opened(names[hit.recording], hit.start_seconds, hit.end_seconds) for hit in hits
            )
            asked[way].append(Answered(label, tuple(opened), seconds))
    return asked
