"""Recordings that can be asked questions, and an answerer whose sentences a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from playhead.answers.conversations import ConversationHistory
from playhead.answers.service import AnswerService
from playhead.core.errors import PlayheadError
from playhead.core.protocols.answerer import (
    Answerer,
    AnswerRequest,
    AnswerSink,
    DraftCitation,
    DraftSentence,
)
from playhead.core.protocols.embedder import Embedder
from playhead.core.records import Chunk, Engine, Recording, TimedSpan, Transcript
from playhead.core.settings import Settings
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.database import Database
from playhead.search.service import SearchService
from playhead.services.context import Services, open_services
from tests.support import factories
from tests.support.factories import PipelineDriver


@dataclass
class ScriptedAnswerer:
    """An ``Answerer`` that returns the sentences of a test, like a model that obeys anybody."""

    sentences: Sequence[DraftSentence] = ()
    error: PlayheadError | None = None
    requests: list[AnswerRequest] = field(default_factory=list)
    engine: Engine = field(default_factory=lambda: Engine("told", "1"))
    write: Callable[[AnswerRequest], Sequence[DraftSentence]] | None = None

    def answer(self, request: AnswerRequest, sink: AnswerSink) -> str | None:
        self.requests.append(request)
        sink.start_over()
        for statement in self.write(request) if self.write else self.sentences:
            sink.on_sentence(statement)
        if self.error:
            raise self.error
        return None


def draft_sentence(text: str, *quotes: str, excerpt: int = 1) -> DraftSentence:
    return DraftSentence(text, tuple(DraftCitation(excerpt, quote) for quote in quotes))


@dataclass(frozen=True)
class AnswerLibrary:
    """Recordings that can be asked. Every word takes half a second."""

    database: Database
    services: Services

    def add(self, *sentences: str, title: str = "A talk", org_id: str = "default") -> Recording:
        recording = factories.add_recording(self.database, title=title, org_id=org_id)
        worker = PipelineDriver(self.database, model=StubEmbedder.engine, dimensions=64)
        worker.probe(recording)
        self._store_transcript(worker, recording, sentences, "1")
        worker.results.close()
        return recording

    def replace_transcript(self, recording: Recording, *sentences: str) -> None:
        """Store another transcript and everything derived from it."""
        worker = PipelineDriver(self.database, model=StubEmbedder.engine, dimensions=64)
        self._store_transcript(worker, recording, sentences, "2")
        worker.results.close()

    def _store_transcript(
        self, worker: PipelineDriver, recording: Recording, sentences: Sequence[str], version: str
    ) -> None:
        spoken = factories.make_transcript(" ".join(sentences))
        worker.transcribe(recording, replace(spoken, segments=()), version=version)
        worker.write(recording)
        worker.chunk(recording, [make_chunk(spoken, sentences)])
        worker.embed(recording)

    def answer_service(
        self,
        answerer: Answerer | None = None,
        org_id: str = "default",
        embedder: Callable[[], Embedder] = StubEmbedder,
    ) -> AnswerService:
        embedders = EmbedderRegistry("hash", {"hash": embedder})
        services = self.services
        search = SearchService(
            services.search.chunks,
            services.search.embedding_sets,
            embedders,
            services.files.media,
            org_id,
        )
        return AnswerService(services, search, answerer or ExtractiveAnswerer())

    def conversations(self, org_id: str = "default") -> ConversationHistory:
        return ConversationHistory(self.services, org_id)


@contextmanager
def open_answer_library(settings: Settings) -> Iterator[AnswerLibrary]:
    with open_services(settings) as services:
        database = Database(str(settings.database_url))
        try:
            yield AnswerLibrary(database, services)
        finally:
            database.close()


def make_chunk(spoken: Transcript, sentences: Sequence[str]) -> Chunk:
    """Return one chunk of the whole transcript, with its sentences."""
    spans, at, word = [], 0, 0
    for sentence in sentences:
        last = word + len(sentence.split(" "))
        spans.append(TimedSpan(at, at + len(sentence), word / 2, last / 2))
        at, word = at + len(sentence) + 1, last
    end = spoken.duration_seconds
    return Chunk(
        "transcript", spoken.text, 0, 0, len(spoken.text), 0.0, end, "Ada", word, tuple(spans)
    )
