"""The protocol of engines that answer questions from chunks of recordings.

Adapters are in ``playhead/engines/answering``. An answerer is not trusted: ``playhead/answers``
looks up every quote in the chunk that the answerer names, and shows nothing that does not occur
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from playhead.core.records import Engine


@dataclass(frozen=True, slots=True)
class TimedSentence:
    """A sentence of a chunk, with its times in seconds."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A chunk of a recording to answer from.

    ``text`` starts at character ``char_start`` of its transcript. ``lines`` are its sentences, at
    least one. ``stems`` is Postgres's name of the text search configuration for its words.
    """

    chunk: str
    recording: str
    title: str
    suffix: str
    text: str
    char_start: int
    speaker: str | None
    stems: str
    lines: tuple[TimedSentence, ...]


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """An earlier question and its answer; the answer is empty if none was found."""

    question: str
    answer: str


class Similarity(Protocol):
    """Similarity of texts to the question, as computed by the search."""

    def terms(self, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        """Return the word stems of each text, by the given rules, without stop words."""
        ...

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the cosine of each text to the question, or None without a model."""
        ...


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question with the excerpts to answer it from.

    ``excerpts`` are ordered best first; the answerer refers to them by their numbers, from 1.
    ``earlier`` is the conversation so far, oldest first. ``embedder`` is the name of the embedder
    behind the cosines.
    """

    question: str
    excerpts: Sequence[Excerpt]
    similarity: Similarity
    embedder: str
    earlier: Sequence[ConversationTurn] = ()


@dataclass(frozen=True, slots=True)
class DraftCitation:
    """A quote that is claimed to occur in the excerpt with this number."""

    excerpt: int
    quote: str


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """A sentence of an answer with the citations that support it."""

    text: str
    cited: tuple[DraftCitation, ...]


class AnswerSink(Protocol):
    """Receiver of the sentences of an answer while it is written."""

    def on_sentence(self, draft: DraftSentence) -> None: ...

    def start_over(self) -> None:
        """Discard all sentences received so far: the answer was interrupted and starts again."""
        ...


class Answerer(Protocol):
    """An engine that writes an answer from excerpts, sentence by sentence."""

    @property
    def engine(self) -> Engine: ...

    def answer(self, request: AnswerRequest, sink: AnswerSink) -> str | None:
        """Answer the question, passing each sentence to the sink as soon as it is complete.

        The sink receives no sentence if the excerpts do not answer the question. Returns a note for
        the user on how the question was answered, or None. Raises ``RequestRejected`` if the engine
        refuses, and the errors of ``ProviderClient.execute``.
        """
        ...
