"""A library of recordings that can be searched: what was said, by whom, in which language, comes
from the test; vectors from the ``instant`` embedder, to which texts that share words are close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from playhead.core.protocols.reranker import Reranker
from playhead.core.records import Chunk, Recipe, Recording, Source, TimedSpan
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry
from playhead.media.local_store import LocalStore
from playhead.postgres.database import Database
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.search.service import SearchService
from tests.support import factories
from tests.support.factories import CHUNK_RECIPE, Worker

_EMBEDDER = StubEmbedder()


class Library(Worker):
    """Takes recordings in, ready to be searched."""

    def __init__(self, database: Database, media: LocalStore, org_id: str = "default") -> None:
        super().__init__(database, model=_EMBEDDER.engine, dimensions=_EMBEDDER.dimensions)
        self.database = database
        self.media = media
        self.org_id = org_id
        self.sets.add("instant", _EMBEDDER.engine, _EMBEDDER.dimensions)

    def add(
        self, *said: Chunk | str, written: Sequence[Chunk] = (), language: str = "en", **of: Any
    ) -> Recording:
        """One that says these passages, apart from each other where they are texts."""
        recording = factories.registered(self.database, **{"org_id": self.org_id} | of)
        chunks = [
            one if isinstance(one, Chunk) else chunk(one, 2 * at) for at, one in enumerate(said)
        ]
        self.probe(recording)
        self.transcribe(recording, factories.transcript(" ".join(c.text for c in chunks), language))
        self.write(recording)
        inputs = {
            "transcript": self.output(recording, "transcript"),
            "document": self.output(recording, "document"),
        }
        with self.claim(recording, CHUNK_RECIPE, inputs, [self.set_id]) as claim:
            self.store_chunks(claim, [*chunks, *written], language)
        self.embed(recording)
        return recording

    def fill_cache(
        self, recording: Recording, chunk_recipe: Recipe, set_id: int, dimensions: int
    ) -> None:
        texts = self.uncached(recording, chunk_recipe, set_id)
        vectors = _EMBEDDER.embed([one.text for one in texts.values()])
        self.content.cache_vectors(recording.org_id, set_id, texts, vectors)

    def search(self, org_id: str | None = None, reranker: Reranker | None = None) -> SearchService:
        embedders = EmbedderRegistry("instant", {"instant": StubEmbedder})
        return SearchService(
            ChunkSearch(self.database),
            self.sets,
            embedders,
            self.media,
            org_id or self.org_id,
            reranker,
        )


def chunk(
    text: str,
    ordinal: int = 0,
    *,
    start: int | None = None,
    seconds: tuple[float, float] | None = None,
    source: Source = "transcript",
    **more: Any,
) -> Chunk:
    """A passage of one sentence, ten seconds a passage, from character ``start`` on."""
    begin = 1000 * ordinal if start is None else start
    first, last = seconds or (10.0 * ordinal, 10.0 * ordinal + 10)
    span = TimedSpan(begin, begin + len(text), first, last)
    places = (ordinal, begin, begin + len(text), first, last)
    return replace(Chunk(source, text, *places, None, 1, (span,)), **more)
