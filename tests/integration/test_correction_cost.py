"""The cost of one corrected word with the default engines and chunk sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playhead.core.protocols.embedder import Vectors
from playhead.core.records import Recording, Transcript
from playhead.engines.embedding.minilm import MiniLM
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.database import Database
from playhead.services.context import PipelineServices
from playhead.transcripts.correction import correct_segment
from tests.integration.conftest import Pipeline
from tests.support.synthetic_transcripts import make_talk

TALK = make_talk(11, 120)  # eleven minutes


class TalkTranscriber(StubTranscriber):
    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return TALK


class RecordingEmbedder(MiniLM):
    def __init__(self, cache: Path) -> None:
        super().__init__(cache=cache)
        self.calls: list[Sequence[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(texts)
        return super().embed(texts)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def embedder(models: Path) -> RecordingEmbedder:
    return RecordingEmbedder(models)


@pytest.fixture
def services(services: PipelineServices, embedder: RecordingEmbedder) -> PipelineServices:
    embedders = EmbedderRegistry("minilm", {"minilm": lambda: embedder})
    return replace(services, engines=Engines(TalkTranscriber(), ExtractiveWriter(), embedders))


@pytest.fixture
def ready(
    pipeline: Pipeline, add: Callable[[str], Recording], embedder: RecordingEmbedder
) -> Recording:
    recording = add("talk.wav")
    assert pipeline.run(recording).success
    embedder.calls.clear()
    return recording


def correct_word(pipeline: Pipeline, recording: Recording, old: str, new: str) -> None:
    """Replace the word in the first segment that has it."""
    versions = pipeline.services.pipeline.versions
    before = versions.current(recording)
    number = next(i for i, sentences in enumerate(before.segments) if old in sentences.text.split())
    text = " ".join(new if word == old else word for word in before.segments[number].text.split())
    versions.correct(recording, correct_segment(before, number, text), "Ada")
    assert pipeline.run(recording).success


@pytest.fixture
def database(services: PipelineServices) -> Iterator[Database]:
    assert services.settings.database_url is not None
    database = Database(services.settings.database_url)
    yield database
    database.close()


def chunk_texts(database: Database, source: str) -> list[str]:
    sql = b"select text from chunks where is_current and source = %(source)s order by ordinal"
    return [row["text"] for row in database.rows(sql, source=source)]


def find_unique_word(text: str, *, but_not_in: str = "") -> str:
    words, others = TALK.text.split(), set(but_not_in.split())
    return next(w for w in text.split() if words.count(w) == 1 and w not in others)


def vector_rows(database: Database) -> set[str]:
    """Return the versions of the vector rows."""
    rows = database.rows(b"select tableoid || ' ' || ctid || ' ' || xmin as row from embeddings")
    return {row["row"] for row in rows}


def test_corrected_word_embeds_only_its_chunk_and_changes_no_other_vector(
    pipeline: Pipeline, ready: Recording, embedder: RecordingEmbedder, database: Database
) -> None:
    vectors_before = vector_rows(database)
    _, before, chunk, after, *_ = chunk_texts(database, "transcript")
    word = find_unique_word(" ".join(chunk.split()[30:]), but_not_in=f"{before} {after}")
    correct_word(pipeline, ready, word, "Kowalczyk")
    assert embedder.calls == [[chunk.replace(word, "Kowalczyk")]]
    assert (
        len(vectors_before - vector_rows(database)),
        len(vector_rows(database) - vectors_before),
    ) == (1, 1)


def test_word_shared_by_two_chunks_embeds_both(
    pipeline: Pipeline, ready: Recording, embedder: RecordingEmbedder, database: Database
) -> None:
    transcript_chunks, words = chunk_texts(database, "transcript"), TALK.text.split()
    shared_words = (
        word for word in words if sum(word in text.split() for text in transcript_chunks) == 2
    )
    word = next(word for word in shared_words if words.count(word) == 1)
    correct_word(pipeline, ready, word, "Kowalczyk")
    both_chunks = [
        passage for passage in chunk_texts(database, "transcript") if "Kowalczyk" in passage
    ]
    assert len(both_chunks) == 2
    assert [sorted(texts) for texts in embedder.calls] == [sorted(both_chunks)]


def test_word_quoted_in_the_document_embeds_nothing_more(
    pipeline: Pipeline, ready: Recording, embedder: RecordingEmbedder, database: Database
) -> None:
    [document] = database.rows(b"select content, metadata from documents")
    quotes = document["content"][document["metadata"]["quotes_from"] :]
    word = find_unique_word(quotes, but_not_in=" ".join(document["metadata"]["key_phrases"]))
    correct_word(pipeline, ready, word, "Kowalczyk")
    [texts] = embedder.calls
    assert len(texts) <= 2
    assert set(texts) <= set(chunk_texts(database, "transcript"))


def test_quoted_sentences_are_only_in_transcript_chunks(
    ready: Recording, database: Database
) -> None:
    [document] = database.rows(b"select content, metadata from documents")
    content, place = document["content"], document["metadata"]["quotes_from"]
    overview, quotes = content[:place], content[place:]
    assert "# talk" in overview
    assert all(phrase in overview for phrase in document["metadata"]["key_phrases"])
    assert chunk_texts(database, "document") == [overview.strip()]
    sentences = re.findall(r"^(?:- )?\[\d\d:\d\d:\d\d\] (.*)$", quotes, re.MULTILINE)
    transcript_chunks = chunk_texts(database, "transcript")
    assert len(sentences) > 10
    assert all(any(sentence in text for text in transcript_chunks) for sentence in sentences)


def test_ten_corrected_quotes_embed_at_most_three_texts_once(
    pipeline: Pipeline, ready: Recording, embedder: RecordingEmbedder, database: Database
) -> None:
    [document] = database.rows(b"select content from documents")
    talk_words = TALK.text.split()
    rare = [
        next((word for word in sentences.text.split()[1:] if talk_words.count(word) == 1), None)
        for sentences in TALK.segments
        if sentences.text in document["content"]
    ]
    words = [word for word in rare if word is not None]
    for number, word in enumerate(words):
        correct_word(pipeline, ready, word, f"Name{number}")
    assert len(embedder.calls) == len(words) == 10
    *others, maximum = sorted(len(texts) for texts in embedder.calls)
    assert max(others) <= 2
    assert maximum <= 3
