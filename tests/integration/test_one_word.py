"""What one corrected word costs with the engines and sizes that everybody has at first."""

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


class Told(StubTranscriber):
    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return TALK


class Counted(MiniLM):
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
def counted(models: Path) -> Counted:
    return Counted(models)


@pytest.fixture
def services(services: PipelineServices, counted: Counted) -> PipelineServices:
    embedders = EmbedderRegistry("minilm", {"minilm": lambda: counted})
    return replace(services, engines=Engines(Told(), ExtractiveWriter(), embedders))


@pytest.fixture
def ready(pipeline: Pipeline, add: Callable[[str], Recording], counted: Counted) -> Recording:
    recording = add("talk.wav")
    assert pipeline.run(recording).success
    counted.calls.clear()
    return recording


def put_right(pipeline: Pipeline, recording: Recording, old: str, new: str) -> None:
    """In the first segment that has it."""
    versions = pipeline.services.pipeline.versions
    before = versions.current(recording)
    number = next(i for i, said in enumerate(before.segments) if old in said.text.split())
    text = " ".join(new if word == old else word for word in before.segments[number].text.split())
    versions.correct(recording, correct_segment(before, number, text), "Ada")
    assert pipeline.run(recording).success


@pytest.fixture
def database(services: PipelineServices) -> Iterator[Database]:
    assert services.settings.database_url is not None
    database = Database(services.settings.database_url)
    yield database
    database.close()


def passages(database: Database, source: str) -> list[str]:
    sql = b"select text from chunks where is_current and source = %(source)s order by ordinal"
    return [row["text"] for row in database.rows(sql, source=source)]


def said_once(among: str, *, but_not_in: str = "") -> str:
    told, others = TALK.text.split(), set(but_not_in.split())
    return next(w for w in among.split() if told.count(w) == 1 and w not in others)


def vectors(database: Database) -> set[str]:
    """The versions of their rows."""
    rows = database.rows(b"select tableoid || ' ' || ctid || ' ' || xmin as row from embeddings")
    return {row["row"] for row in rows}


def test_a_corrected_word_embeds_the_passage_it_is_in_and_touches_no_other_vector(
    pipeline: Pipeline, ready: Recording, counted: Counted, database: Database
) -> None:
    known = vectors(database)
    _, before, here, after, *_ = passages(database, "transcript")
    word = said_once(" ".join(here.split()[30:]), but_not_in=f"{before} {after}")
    put_right(pipeline, ready, word, "Kowalczyk")
    assert counted.calls == [[here.replace(word, "Kowalczyk")]]
    assert (len(known - vectors(database)), len(vectors(database) - known)) == (1, 1)


def test_a_word_that_two_passages_share_embeds_both(
    pipeline: Pipeline, ready: Recording, counted: Counted, database: Database
) -> None:
    heard, told = passages(database, "transcript"), TALK.text.split()
    shared = (word for word in told if sum(word in text.split() for text in heard) == 2)
    word = next(word for word in shared if told.count(word) == 1)
    put_right(pipeline, ready, word, "Kowalczyk")
    both = [passage for passage in passages(database, "transcript") if "Kowalczyk" in passage]
    assert len(both) == 2
    assert [sorted(texts) for texts in counted.calls] == [sorted(both)]


def test_a_word_of_a_sentence_that_the_document_quotes_embeds_no_more(
    pipeline: Pipeline, ready: Recording, counted: Counted, database: Database
) -> None:
    [document] = database.rows(b"select content, metadata from documents")
    quotes = document["content"][document["metadata"]["quotes_from"] :]
    word = said_once(quotes, but_not_in=" ".join(document["metadata"]["key_phrases"]))
    put_right(pipeline, ready, word, "Kowalczyk")
    [texts] = counted.calls
    assert len(texts) <= 2
    assert set(texts) <= set(passages(database, "transcript"))


def test_what_the_document_quotes_is_a_passage_where_it_was_said_and_nowhere_else(
    ready: Recording, database: Database
) -> None:
    [document] = database.rows(b"select content, metadata from documents")
    content, place = document["content"], document["metadata"]["quotes_from"]
    overview, quotes = content[:place], content[place:]
    assert "# talk" in overview
    assert all(phrase in overview for phrase in document["metadata"]["key_phrases"])
    assert passages(database, "document") == [overview.strip()]
    said = re.findall(r"^(?:- )?\[\d\d:\d\d:\d\d\] (.*)$", quotes, re.MULTILINE)
    heard = passages(database, "transcript")
    assert len(said) > 10
    assert all(any(sentence in passage for passage in heard) for sentence in said)


def test_of_ten_quoted_words_put_right_no_more_than_one_embeds_three_texts(
    pipeline: Pipeline, ready: Recording, counted: Counted, database: Database
) -> None:
    [document] = database.rows(b"select content from documents")
    told = TALK.text.split()
    rare = [
        next((word for word in said.text.split()[1:] if told.count(word) == 1), None)
        for said in TALK.segments
        if said.text in document["content"]
    ]
    words = [word for word in rare if word is not None]
    for number, word in enumerate(words):
        put_right(pipeline, ready, word, f"Name{number}")
    assert len(counted.calls) == len(words) == 10
    *others, most = sorted(len(texts) for texts in counted.calls)
    assert max(others) <= 2
    assert most <= 3
