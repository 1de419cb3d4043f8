"""An organisation to ask: recordings with words of their own, and whoever answers."""

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
from tests.support.factories import Worker


@dataclass
class Told:
    """An ``Answerer`` that says what a test hands it, as a model would that obeys anybody."""

    statements: Sequence[DraftSentence] = ()
    error: PlayheadError | None = None
    asked: list[AnswerRequest] = field(default_factory=list)
    engine: Engine = field(default_factory=lambda: Engine("told", "1"))
    write: Callable[[AnswerRequest], Sequence[DraftSentence]] | None = None

    def answer(self, request: AnswerRequest, sink: AnswerSink) -> str | None:
        self.asked.append(request)
        sink.start_over()
        for statement in self.write(request) if self.write else self.statements:
            sink.on_sentence(statement)
        if self.error:
            raise self.error
        return None


def statement(text: str, *quotes: str, excerpt: int = 1) -> DraftSentence:
    return DraftSentence(text, tuple(DraftCitation(excerpt, quote) for quote in quotes))


@dataclass(frozen=True)
class Place:
    """Recordings that can be asked. Every word takes half a second."""

    database: Database
    services: Services

    def recording(
        self, *sentences: str, title: str = "A talk", org_id: str = "default"
    ) -> Recording:
        made = factories.registered(self.database, title=title, org_id=org_id)
        worker = Worker(self.database, model=StubEmbedder.engine, dimensions=64)
        worker.probe(made)
        self._spoken(worker, made, sentences, "1")
        worker.ledger.close()
        return made

    def corrected(self, recording: Recording, *sentences: str) -> None:
        """Another transcript, and all that is made from it."""
        worker = Worker(self.database, model=StubEmbedder.engine, dimensions=64)
        self._spoken(worker, recording, sentences, "2")
        worker.ledger.close()

    def _spoken(
        self, worker: Worker, recording: Recording, sentences: Sequence[str], version: str
    ) -> None:
        spoken = factories.transcript(" ".join(sentences))
        worker.transcribe(recording, replace(spoken, segments=()), version=version)
        worker.write(recording)
        worker.cut(recording, [chunk_of(spoken, sentences)])
        worker.embed(recording)

    def answers(
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

    def kept(self, org_id: str = "default") -> ConversationHistory:
        return ConversationHistory(self.services, org_id)


@contextmanager
def asked_place(settings: Settings) -> Iterator[Place]:
    with open_services(settings) as services:
        database = Database(str(settings.database_url))
        try:
            yield Place(database, services)
        finally:
            database.close()


def chunk_of(spoken: Transcript, sentences: Sequence[str]) -> Chunk:
    """All of it, with its sentences."""
    spans, at, word = [], 0, 0
    for sentence in sentences:
        last = word + len(sentence.split(" "))
        spans.append(TimedSpan(at, at + len(sentence), word / 2, last / 2))
        at, word = at + len(sentence) + 1, last
    end = spoken.duration_seconds
    return Chunk(
        "transcript", spoken.text, 0, 0, len(spoken.text), 0.0, end, "Ada", word, tuple(spans)
    )
