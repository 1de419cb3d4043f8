"""Answer questions with sentences that each cite a moment of a recording.

Finds chunks, has an answerer write, checks every sentence, and stores the conversation. Only
transcripts are used as sources: a document is somebody's words about a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Final

from playhead.answers.citation_check import (
    Citation,
    CitationChecker,
    CitedSentence,
    SentenceCallback,
)
from playhead.answers.conversations import ConversationHistory, TranscriptCache
from playhead.core.call_context import ANSWER, CallContext, call_context
from playhead.core.errors import RecordingDeleted, RequestRejected
from playhead.core.media_links import media_link
from playhead.core.protocols.answerer import Answerer, AnswerRequest, ConversationTurn, Excerpt
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import NO_FILTER, Engine, SearchFilter
from playhead.core.text import one_line
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.postgres.search.conversations import NewTurn
from playhead.postgres.search.excerpts import Excerpts
from playhead.search.query import VECTORS_UNAVAILABLE, Query
from playhead.search.service import SearchResult, SearchService
from playhead.services.context import Services

NOT_FOUND: Final = "That is not in your recordings."

_HITS: Final = 8  # hits whose passages an answer is written from
_MAX_QUESTION_CHARACTERS: Final = 2_000  # the rest is not read, and the note says so
_EARLIER_TURNS: Final = 3  # turns that give a question its context
_TOO_LONG: Final = (
    f"Only the first {_MAX_QUESTION_CHARACTERS:,} characters of the question were read."
)
_NO_QUESTION: Final = "The question is empty."


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a question.

    ``found`` is False if the recordings do not answer it: then there is no sentence, and
    ``NOT_FOUND`` is the answer. ``note`` tells the user how it was created. ``conversation`` is the
    id to continue with, None if nothing was stored. ``engine`` is the engine that wrote it.
    """

    question: str
    found: bool
    sentences: tuple[CitedSentence, ...]
    citations: tuple[Citation, ...]
    note: str | None
    engine: Engine
    conversation: str | None = None


def ignore_sentences(_sentence: CitedSentence | None, _citations: tuple[Citation, ...]) -> None:
    """Ignore streamed sentences: a ``SentenceCallback`` for callers that need none."""


@dataclass(frozen=True, slots=True)
class AnswerService:
    """Answers questions about the recordings of one organisation, that of ``search``."""

    services: Services
    search: SearchService
    answerer: Answerer

    def __call__(
        self,
        question: str,
        *,
        filters: SearchFilter = NO_FILTER,
        conversation: str | None = None,
        on_sentence: SentenceCallback = ignore_sentences,
    ) -> Answer:
        """Answer a question, and store it with its answer.

        ``on_sentence`` is called with every sentence as soon as it is written and proved.
        ``conversation`` is the id of an earlier answer's conversation to continue. If the answerer
        is unavailable, the offline answerer is used, and ``note`` reports it. Raises ``NotFound``
        if the conversation is not the organisation's.
        """
        earlier = self._earlier(conversation)
        text, note = _truncate(question)
        if not text:
            return _not_found(question, self.answerer, _NO_QUESTION)
        answer, words = self._answer(text, filters, earlier, on_sentence)
        with_note = replace(answer, note=_join_notes([note, answer.note]))
        return self._store(with_note, words, conversation)

    def _earlier(self, conversation: str | None) -> list[ConversationTurn]:
        if conversation is None:
            return []
        turns = ConversationHistory(self.services, self.org_id).turns(conversation)
        return [turn.for_prompt for turn in turns if turn.question][-_EARLIER_TURNS:]

    def _answer(
        self,
        question: str,
        filters: SearchFilter,
        earlier: Sequence[ConversationTurn],
        on_sentence: SentenceCallback,
    ) -> tuple[Answer, list[str]]:
        """Return the answer with the original words of its citations."""
        query = " ".join([*(turn.question for turn in earlier[-1:]), question])
        found = self.search(query, filters=replace(filters, source="transcript"), limit=_HITS)
        if found.searched is None or found.question is None or not found.hits:
            return _not_found(question, self.answerer, found.note), []
        with call_context(CallContext(self.org_id, ANSWER, _share_excerpts(found))):
            similarity = _QuestionSimilarity(
                self.services.search.excerpts, self.org_id, found.question
            )
            passages = dict.fromkeys(chunk for hit in found.hits for chunk in hit.chunks)
            excerpts = self.services.search.excerpts.of(self.org_id, list(passages))
            request = AnswerRequest(question, excerpts, similarity, found.searched.name, earlier)
            checker = self._citation_checker(request, on_sentence)
            engine, note = self._write(request, checker)
        notes = [found.note, note, _left_out_note(checker.left_out)]
        answer = Answer(
            question=question,
            found=bool(checker.sentences),
            sentences=tuple(checker.sentences),
            citations=tuple(checker.citations),
            note=_join_notes(notes),
            engine=engine,
        )
        return answer, checker.words

    @property
    def org_id(self) -> str:
        return self.search.org_id

    def _citation_checker(
        self, request: AnswerRequest, on_sentence: SentenceCallback
    ) -> CitationChecker:
        transcript_of = cache(TranscriptCache(self.services, self.org_id).get)
        return CitationChecker(request, transcript_of, self._link, on_sentence)

    def _link(self, excerpt: Excerpt, seconds: float) -> str:
        return media_link(
            self.services.files.media.link(excerpt.recording, excerpt.suffix), seconds
        )

    def _write(self, request: AnswerRequest, checker: CitationChecker) -> tuple[Engine, str | None]:
        """Write the answer, and return the engine that wrote it and its note."""
        try:
            return self.answerer.engine, self.answerer.answer(request, checker)
        except (*VECTORS_UNAVAILABLE, RequestRejected) as error:
            checker.start_over()
            fallback = ExtractiveAnswerer()
            fallback.answer(request, checker)
            return (
                fallback.engine,
                f"The answer is quoted instead of written. {error} {error.remedy}",
            )

    def _store(self, answer: Answer, words: Sequence[str], conversation: str | None) -> Answer:
        turn = NewTurn(
            answer.question,
            answer.found,
            answer.note,
            asdict(answer.engine),
            [asdict(sentence) for sentence in answer.sentences],
            [_row(*entry) for entry in zip(answer.citations, words, strict=True)],
        )
        try:
            conversation_id = self.services.search.conversations.add(
                self.org_id, conversation, turn
            )
        except RecordingDeleted:
            note = _join_notes(
                [answer.note, "A recording was deleted meanwhile, so the answer was not stored."]
            )
            return replace(answer, note=note)
        return replace(answer, conversation=conversation_id)


@dataclass(frozen=True, slots=True)
class _QuestionSimilarity:
    """A ``Similarity`` by full-text words and by vectors of the searched set."""

    excerpts: Excerpts
    org_id: str
    question: Query

    def terms(self, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        return self.excerpts.stems(self.org_id, stems, texts)

    def closeness(self, texts: Sequence[str]) -> Vectors | None:
        return self.question.closeness(texts)


def _truncate(question: str) -> tuple[str, str | None]:
    """Return the question as one line, truncated if too long, and a note if it was."""
    line = one_line(question)
    if len(line) <= _MAX_QUESTION_CHARACTERS:
        return line, None
    return line[:_MAX_QUESTION_CHARACTERS], _TOO_LONG


def _not_found(question: str, answerer: Answerer, note: str | None) -> Answer:
    return Answer(question, False, (), (), note, answerer.engine)


def _share_excerpts(found: SearchResult) -> dict[str, float]:
    """Return the recordings whose text is sent to a provider, each with share 1.

    The cost and the provider's replies are attributed to them, and deleted with them.
    """
    return dict.fromkeys((hit.recording for hit in found.hits), 1.0)


def _left_out_note(count: int) -> str | None:
    if not count:
        return None
    sentences = "1 sentence was" if count == 1 else f"{count} sentences were"
    return f"{sentences} left out of the answer: no recording supports it."


def _join_notes(notes: Iterable[str | None]) -> str | None:
    return " ".join(note for note in notes if note) or None


def _row(citation: Citation, words: str) -> dict[str, object]:
    return {
        "number": citation.number,
        "recording": citation.recording,
        "chunk": citation.chunk,
        "quote": words,
        "start_seconds": citation.start_seconds,
        "end_seconds": citation.end_seconds,
    }
