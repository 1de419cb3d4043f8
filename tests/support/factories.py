"""Factories for tests: recordings, recipes, results, and a driver that stores them.

The driver goes through the stages as the pipeline does, with the same names of inputs, but runs no
engine: it stores the values that a test passes in.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from playhead.core.records import (
    Chunk,
    Document,
    Engine,
    MediaFacts,
    Recipe,
    Recording,
    Segment,
    Source,
    Stage,
    TimedSpan,
    Transcript,
    Word,
    text_hash,
)
from playhead.postgres.database import Database
from playhead.postgres.pipeline.content import (
    ChunkWrite,
    Content,
    EmbeddingWrite,
    UncachedText,
    chunks_hash,
)
from playhead.postgres.pipeline.recordings import Recordings, Status, new_recording_id
from playhead.postgres.pipeline.stage_results import NO_SET, Claim, Result, ResultKey, StageResults
from playhead.postgres.search.embedding_sets import EmbeddingSets
from playhead.transcripts.timeline import Timeline

MODEL = Engine("vectors by hash", "a")
CHUNK_RECIPE = Recipe("chunks", "1", Engine("chunker", "a"))


def make_recording(**changes: Any) -> Recording:
    """Return a recording with its own id and hash."""
    new = Recording(
        id=new_recording_id(),
        partition_key="",
        org_id="default",
        sha256=secrets.token_hex(32),
        size_bytes=1000,
        kind="recording",
        title="A talk",
        language=None,
        suffix=".flac",
    )
    new = replace(new, **changes)
    return new if new.partition_key else replace(new, partition_key=new.id)


def add_recording(database: Database, **changes: Any) -> Recording:
    return Recordings(database).add(make_recording(**changes))


def make_recipe(stage: Stage, version: str = "1") -> Recipe:
    return Recipe(stage, version, Engine("fake", "a"))


def make_media_facts(duration: float = 10.0) -> MediaFacts:
    return MediaFacts("flac", "flac", "audio/flac", 16000, 1, duration, ("audio: flac",))


def make_transcript(text: str = "one two three", language: str = "en") -> Transcript:
    """Return a transcript in which every word of ``text`` takes half a second."""
    spoken = [Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(text.split(" "))]
    end = len(spoken) / 2
    return Transcript(text, language, end, tuple(spoken), (Segment(text, 0.0, end, "Ada"),))


def make_document(content: str = "# A talk\n\none two three", title: str = "A talk") -> Document:
    spans = (TimedSpan(0, len(content), 0.0, 1.5, None),)
    sections = [{"heading": title, "start_seconds": 0.0, "end_seconds": 1.5}]
    return Document(title, content, "markdown", spans, {"sections": sections})


def make_chunks(*texts: str, source: Source = "transcript") -> list[Chunk]:
    """Return consecutive chunks, one character apart and one second each."""
    new, start = [], 0
    for ordinal, text in enumerate(texts):
        end = start + len(text)
        span = TimedSpan(start, end, float(ordinal), ordinal + 1.0)
        times = (float(ordinal), ordinal + 1.0, None)
        new.append(Chunk(source, text, ordinal, start, end, *times, 1, (span,)))
        start = end + 1
    return new


def unit_vectors(texts: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """Return a vector of length 1 for each text; equal texts have equal vectors."""
    seeds = [int(text_hash(text)[:8], 16) for text in texts]
    rows = np.array([np.random.default_rng(seed).normal(size=dimensions) for seed in seeds])
    rows = rows.reshape(len(texts), dimensions)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
    return unit


def get_status(recordings: Recordings, recording: Recording) -> Status:
    (found,) = recordings.statuses(recording.org_id, [recording.id])
    return found


def count_rows(database: Database, table: bytes) -> int:
    row = database.row(b"select count(*) as rows from " + table)
    assert row is not None
    return int(row["rows"])


class PipelineDriver:
    """Stores stage results as a pipeline run does.

    Each step returns False if nothing was left to do.
    """

    def __init__(
        self,
        database: Database,
        run_id: str = "run-1",
        model: Engine = MODEL,
        dimensions: int = 3,
    ) -> None:
        self.results = StageResults(database)
        self.content = Content(database)
        self.sets = EmbeddingSets(database)
        self.run_id = run_id
        self.model = model
        self.dimensions = dimensions
        self.embedded_texts: list[str] = []  # texts the embedding model was asked for

    @property
    def set_id(self) -> int:
        """Return the id of the embedding set of this driver's model, creating it if needed."""
        return self.sets.add("hash", self.model, self.dimensions).id

    def claim(
        self,
        recording: Recording,
        recipe: Recipe,
        inputs: Mapping[str, Any],
        sets: Sequence[int] = NO_SET,
    ) -> AbstractContextManager[Claim]:
        key = ResultKey(recording, recipe, inputs, sets)
        return self.results.claim(key, run_id=self.run_id, detail="working")

    def probe(self, recording: Recording, version: str = "1") -> bool:
        with self.claim(
            recording, make_recipe("raw_media", version), {"sha256": recording.sha256}
        ) as claim:
            if not claim.done:
                with self.results.finish(claim, output_hash=f"media {version}") as write:
                    self.content.put_media_facts(*write, recording, make_media_facts())
        return claim.done is None

    def transcribe(
        self, recording: Recording, spoken: Transcript | None = None, version: str = "1"
    ) -> bool:
        spoken = spoken or make_transcript()
        inputs = {"raw_media": self.output(recording, "raw_media"), "language": recording.language}
        with self.claim(recording, make_recipe("transcript", version), inputs) as claim:
            if not claim.done:
                with self.results.finish(claim, output_hash=spoken.text) as write:
                    self.content.put_transcript(*write, recording, spoken)
        return claim.done is None

    def write(
        self, recording: Recording, version: str = "1", written: Document | None = None
    ) -> bool:
        inputs = {"transcript": self.output(recording, "transcript")}
        with self.claim(recording, make_recipe("document", version), inputs) as claim:
            if not claim.done:
                output_hash = f"document of {inputs['transcript']}"
                with self.results.finish(claim, output_hash=output_hash) as write:
                    self.content.put_document(*write, recording, written or make_document())
        return claim.done is None

    def chunk(
        self, recording: Recording, chunks: Sequence[Chunk], recipe: Recipe = CHUNK_RECIPE
    ) -> bool:
        inputs = {
            "transcript": self.output(recording, "transcript"),
            "document": self.output(recording, "document"),
        }
        with self.claim(recording, recipe, inputs, [self.set_id]) as claim:
            if not claim.done:
                self.store_chunks(claim, chunks)
        return claim.done is None

    def store_chunks(self, claim: Claim, chunks: Sequence[Chunk], language: str = "en") -> None:
        output_hash = chunks_hash(chunks)
        with self.results.finish(claim, output_hash=output_hash) as (to, result):
            self.results.supersede(to, [result])
            self.content.put_chunks(to, [ChunkWrite(claim.recording, result, chunks, language)])

    def embed(
        self, recording: Recording, chunk_recipe: Recipe = CHUNK_RECIPE, version: str = "1"
    ) -> bool:
        set_id = self.set_id
        chunks = self.current(recording, "chunks", set_id)
        assert chunks is not None
        inputs = {"chunks": chunks.output_hash, "chunk_recipe": chunk_recipe.hash}
        embedding = Recipe("embeddings", version, self.model)
        with self.claim(recording, embedding, inputs, [set_id]) as claim:
            if not claim.done:
                self.fill_cache(recording, chunk_recipe, set_id, self.dimensions)
                with self.results.finish(claim, output_hash="vectors") as (to, result):
                    self.results.supersede(to, [result])
                    embedded = EmbeddingWrite(recording, result, chunks)
                    self.content.put_embeddings(to, [embedded], set_id)
        return claim.done is None

    def fill_cache(
        self, recording: Recording, chunk_recipe: Recipe, set_id: int, dimensions: int
    ) -> None:
        texts = self.uncached(recording, chunk_recipe, set_id)
        new_texts = [text.text for text in texts.values()]
        self.embedded_texts += new_texts
        vectors = unit_vectors(new_texts, dimensions)
        self.content.cache_vectors(recording.org_id, set_id, texts, vectors)

    def uncached(
        self, recording: Recording, chunk_recipe: Recipe, set_id: int
    ) -> dict[str, UncachedText]:
        recipes = {recording.id: chunk_recipe.hash}
        return self.content.uncached_texts(recording.org_id, recipes, set_id)

    def current(self, recording: Recording, stage: Stage, set_id: int = 0) -> Result | None:
        return self.results.current_results([recording])[recording.id].get((stage, set_id))

    def output(self, recording: Recording, stage: Stage) -> str | None:
        result = self.current(recording, stage)
        return result.output_hash if result else None

    def run_all_stages(self, recording: Recording, texts: Sequence[str] = ("one", "two")) -> None:
        """Run all five stages."""
        self.probe(recording)
        self.transcribe(recording)
        self.write(recording)
        self.chunk(recording, make_chunks(*texts))
        self.embed(recording)


def timeline_spans(timeline: Timeline) -> tuple[TimedSpan, ...]:
    """Return the rows of a timeline as spans."""
    columns = (
        timeline.char_starts.tolist(),
        timeline.char_ends.tolist(),
        timeline.start_seconds.tolist(),
        timeline.end_seconds.tolist(),
        [timeline.names[voice] for voice in timeline.speaker_indices],
    )
    return tuple(map(TimedSpan, *columns))
