"""A library of searchable recordings, whose texts, speakers and languages come from the test.

Vectors come from the stub embedder: texts that share words are close to each other.
"""

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
from tests.support.factories import CHUNK_RECIPE, PipelineDriver

_EMBEDDER = StubEmbedder()


class SearchLibrary(PipelineDriver):
    """Adds recordings that are ready to be searched."""

    def __init__(self, database: Database, media: LocalStore, org_id: str = "default") -> None:
        super().__init__(database, model=_EMBEDDER.engine, dimensions=_EMBEDDER.dimensions)
        self.database = database
        self.media = media
        self.org_id = org_id
        self.sets.add("stub", _EMBEDDER.engine, _EMBEDDER.dimensions)

    def add(
        self,
        *texts: Chunk | str,
        written: Sequence[Chunk] = (),
        language: str = "en",
        **changes: Any,
    ) -> Recording:
        """Add a recording with these chunks; texts become chunks that are not adjacent."""
        recording = factories.add_recording(self.database, **{"org_id": self.org_id} | changes)
        chunks = [
            item if isinstance(item, Chunk) else make_chunk(item, 2 * at)
            for at, item in enumerate(texts)
        ]
        self.probe(recording)
        self.transcribe(
            recording, factories.make_transcript(" ".join(c.text for c in chunks), language)
        )
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
        vectors = _EMBEDDER.embed([text.text for text in texts.values()])
        self.content.cache_vectors(recording.org_id, set_id, texts, vectors)

    def search(self, org_id: str | None = None, reranker: Reranker | None = None) -> SearchService:
        embedders = EmbedderRegistry("stub", {"stub": StubEmbedder})
        return SearchService(
            ChunkSearch(self.database),
            self.sets,
            embedders,
            self.media,
            org_id or self.org_id,
            reranker,
        )


def make_chunk(
    text: str,
    ordinal: int = 0,
    *,
    start: int | None = None,
    seconds: tuple[float, float] | None = None,
    source: Source = "transcript",
    **more: Any,
) -> Chunk:
    """Return a chunk of one sentence, ten seconds long, that starts at character ``start``."""
    begin = 1000 * ordinal if start is None else start
    first, last = seconds or (10.0 * ordinal, 10.0 * ordinal + 10)
    span = TimedSpan(begin, begin + len(text), first, last)
    places = (ordinal, begin, begin + len(text), first, last)
    return replace(Chunk(source, text, *places, None, 1, (span,)), **more)
