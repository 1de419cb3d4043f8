"""Corrections by people: a corrected word affects only its chunks, and no engine reverts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline_assets.definitions import build_definitions
from playhead.core.errors import NotFound
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import (
    FREE,
    Cost,
    Document,
    Engine,
    Kind,
    Recording,
    Segment,
    TimedSpan,
    Transcript,
    Word,
)
from playhead.core.settings import Chunking, Settings
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.database import Database
from playhead.postgres.pipeline.plans import Scope
from playhead.postgres.pipeline.transcript_versions import NothingToCorrect
from playhead.search.service import SearchService
from playhead.services.context import PipelineServices
from playhead.transcripts.correction import correct_segment
from tests.integration.conftest import Pipeline

Add = Callable[[str], Recording]

VOCABULARY = "amber birch cedar delta ember flint grove heron iris jade kelp larch".split()


class CountingTranscriber(StubTranscriber):
    """A transcriber of ten different sentences of twelve words by two speakers that counts its
    calls."""

    engine = Engine("stub", "transcriber-1")

    def __init__(self) -> None:
        self.calls = 0

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.calls += 1
        lines = [
            " ".join([f"number{line}", *VOCABULARY[line:], *VOCABULARY[:line]][:12]) + "."
            for line in range(10)
        ]
        words, segments = [], []
        for line, text in enumerate(lines):
            start = line * 6.0
            words += [
                Word(word, start + at / 2, start + (at + 1) / 2)
                for at, word in enumerate(text.split())
            ]
            segments.append(Segment(text, start, start + 6.0, f"SPEAKER_{line % 2}"))
        return Transcript(" ".join(lines), "en", 60.0, tuple(words), tuple(segments))


class QuotingWriter:
    """A writer with a paragraph per segment, word for word."""

    engine = Engine("quoting", "quoting-1")
    price = FREE

    def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
        spans, content = [], f"# {title}"
        for segment in transcript.segments:
            content += "\n\n"
            start = len(content)
            content += segment.text
            spans.append(TimedSpan(start, len(content), segment.start, segment.end))
        metadata = {"sections": [{"heading": title, "start_seconds": 0.0, "end_seconds": 60.0}]}
        return Document(title, content, "markdown", tuple(spans), metadata), Cost()


class CountingEmbedder(StubEmbedder):
    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return super().embed(texts)


@pytest.fixture
def transcriber() -> CountingTranscriber:
    return CountingTranscriber()


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    sizes = Chunking(size=12, overlap=0, minimum=8)
    return settings.model_copy(update={"chunking": {"recording": sizes}})


@pytest.fixture
def services(
    services: PipelineServices, transcriber: CountingTranscriber, embedder: CountingEmbedder
) -> PipelineServices:
    embedders = EmbedderRegistry("stub", {"stub": lambda: embedder})
    return replace(services, engines=Engines(transcriber, QuotingWriter(), embedders))


@pytest.fixture
def ready(pipeline: Pipeline, add: Add) -> Recording:
    recording = add("a.wav")
    assert pipeline.run(recording).success
    return recording


def correct(services: PipelineServices, recording: Recording, segment: int, text: str) -> None:
    before = services.pipeline.versions.current(recording)
    services.pipeline.versions.correct(recording, correct_segment(before, segment, text), "Ada")


def run_pending(pipeline: Pipeline, recording: Recording) -> None:
    """Run the pending recording as the sensor does."""
    assert pipeline.services.pipeline.recordings.pending(limit=9) == [recording]
    assert pipeline.run(recording).success
    assert pipeline.services.pipeline.recordings.statuses("default")[0].status == "ready"


def row_versions(database: Database) -> dict[str, str]:
    """Return the position and transaction of every content row, by table and key."""
    tables = {
        b"chunks": b"id::text",
        b"embeddings": b"chunk_id::text",
        b"transcripts": b"result_id::text",
        b"documents": b"result_id::text",
        b"embedding_cache": b"text_hash",
    }
    found = {}
    for table, key in tables.items():
        rows = database.rows(b"select " + key + b" as key, ctid, xmin from " + table)
        for row in rows:
            found[f"{table.decode()} {row['key']}"] = f"{row['ctid']} {row['xmin']}"
    return found


@pytest.fixture
def database(services: PipelineServices, settings: Settings) -> Database:
    assert settings.database_url is not None
    return Database(settings.database_url)


def test_correction_of_one_word_embeds_only_its_chunks_and_changes_no_other_row(
    pipeline: Pipeline,
    ready: Recording,
    transcriber: CountingTranscriber,
    embedder: CountingEmbedder,
    database: Database,
) -> None:
    before, embedded_before = row_versions(database), len(embedder.embedded)
    segment = pipeline.services.pipeline.versions.current(ready).segments[4].text
    correct(pipeline.services, ready, 4, segment.replace("grove", "stove"))
    run_pending(pipeline, ready)
    assert transcriber.calls == 1
    assert 1 <= len(embedder.embedded) - embedded_before <= 2
    assert all("stove" in text for text in embedder.embedded[embedded_before:])
    after = row_versions(database)
    assert {key for key in before if after.get(key) != before[key]} == before.keys() - after.keys()
    assert len(before.keys() - after.keys()) <= 4, "the old passages and their vectors"


def test_words_outside_a_correction_keep_their_times(pipeline: Pipeline, ready: Recording) -> None:
    services = pipeline.services
    before = services.pipeline.versions.current(ready).words
    correct(services, ready, 4, "somebody else said this")
    after = services.pipeline.versions.current(ready).words
    assert after[:48] == before[:48]
    assert after[-60:] == before[-60:]


def test_search_finds_a_correction_and_not_the_old_text(
    pipeline: Pipeline, ready: Recording
) -> None:
    services = pipeline.services
    correct(services, ready, 0, "The zeppelin landed.")
    run_pending(pipeline, ready)
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    hit = find("zeppelin").hits[0]
    assert "zeppelin" in hit.text
    assert hit.start_seconds < 6.0


def test_correction_survives_a_new_engine(
    pipeline: Pipeline, ready: Recording, transcriber: CountingTranscriber
) -> None:
    services = pipeline.services
    correct(services, ready, 4, "Put right.")
    corrected = services.pipeline.versions.current(ready)
    other = CountingTranscriber()
    other.engine = Engine("stub", "transcriber-2")
    newer = replace(services, engines=replace(services.engines, transcriber=other))
    changed = Pipeline(
        newer, pipeline.instance, build_definitions(newer.settings, engines=newer.engines)
    )
    assert changed.run(ready).success
    services.pipeline.plans.open(Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None)
    changed.run_plans()
    assert other.calls == 0
    assert services.pipeline.versions.current(ready) == corrected


def test_old_version_is_restored_without_an_engine_call(
    pipeline: Pipeline,
    ready: Recording,
    transcriber: CountingTranscriber,
    embedder: CountingEmbedder,
) -> None:
    services = pipeline.services
    first = services.pipeline.versions.current(ready)
    correct(services, ready, 4, "Put right.")
    run_pending(pipeline, ready)
    embedded_before = len(embedder.embedded)
    versions = services.pipeline.versions.all(ready)
    assert [
        (version.number, version.engine, version.model, version.current) for version in versions
    ] == [
        (1, "stub", "transcriber-1", False),
        (2, "person", "Ada", True),
    ]
    services.pipeline.versions.restore(ready, 1, "Grace")
    run_pending(pipeline, ready)
    assert services.pipeline.versions.current(ready) == first
    assert services.pipeline.versions.all(ready)[0].pinned_by == "Grace"
    assert (transcriber.calls, len(embedder.embedded)) == (1, embedded_before)


def test_unpinned_version_is_the_engines_again(
    pipeline: Pipeline, ready: Recording, transcriber: CountingTranscriber
) -> None:
    services = pipeline.services
    first = services.pipeline.versions.current(ready)
    correct(services, ready, 4, "Put right.")
    services.pipeline.versions.unpin(ready)
    assert pipeline.run(ready).success
    assert services.pipeline.versions.current(ready) == first
    assert transcriber.calls == 1


def test_same_correction_twice_is_one_version(pipeline: Pipeline, ready: Recording) -> None:
    services = pipeline.services
    correct(services, ready, 4, "Put right.")
    with pytest.raises(NothingToCorrect):
        correct(services, ready, 4, "Put right.")
    assert len(services.pipeline.versions.all(ready)) == 2


def test_correction_needs_a_transcript(pipeline: Pipeline, add: Add) -> None:
    with pytest.raises(NothingToCorrect):
        pipeline.services.pipeline.versions.current(add("b.wav"))


def test_speaker_name_is_shown_in_hits_without_any_stage(
    pipeline: Pipeline, ready: Recording, transcriber: CountingTranscriber, database: Database
) -> None:
    services = pipeline.services
    before = row_versions(database)
    services.pipeline.versions.name_speaker(ready, "SPEAKER_0", "Ada Lovelace")
    assert services.pipeline.recordings.pending(limit=9) == []
    assert row_versions(database) == before
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    assert "Ada Lovelace" in {hit.speaker for hit in find("number0 amber").hits}
    assert transcriber.calls == 1


def test_unknown_speaker_cannot_be_named(pipeline: Pipeline, ready: Recording) -> None:
    with pytest.raises(NotFound, match="SPEAKER_0, SPEAKER_1"):
        pipeline.services.pipeline.versions.name_speaker(ready, "SPEAKER_9", "Nobody")
