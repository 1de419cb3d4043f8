"""What is asked of whatever answers questions from passages of recordings. Adapters live beside
this file.

An answerer is not trusted: whoever hears it looks for every quote in the passage that it names
(``playhead/answers``), and shows nothing that does not stand there.
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
    """A sentence of a passage and its seconds."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage of a recording to answer from. ``text`` began at character ``char_start`` of its
    transcript; ``lines`` are its sentences, at least one. ``stems``: Postgres's name of the rules
    by which its words are searched."""

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
    """A question that was asked before, and what was answered; nothing where it was not there."""

    question: str
    answer: str


class Similarity(Protocol):
    """How near texts are to the question, as the search sees it."""

    def terms(self, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        """The stems of each text's words, by these rules, without those that say nothing."""
        ...

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """The cosine of each text to the question; None where no model can say it."""
        ...


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """``excerpts``: best first, known to the answerer by their numbers, from 1. ``earlier``: the
    conversation so far, oldest first. ``embedder``: whose closeness it is."""

    question: str
    excerpts: Sequence[Excerpt]
    likeness: Similarity
    embedder: str
    earlier: Sequence[ConversationTurn] = ()


@dataclass(frozen=True, slots=True)
class DraftCitation:
    """``quote`` is said to stand in the excerpt of this number."""

    excerpt: int
    quote: str


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """A sentence of an answer, and what it rests on."""

    text: str
    cited: tuple[DraftCitation, ...]


class AnswerSink(Protocol):
    """Who hears an answer while it is written."""

    def on_sentence(self, statement: DraftSentence) -> None: ...

    def start_over(self) -> None:
        """What was heard does not count: its writer broke off and begins anew."""
        ...


class Answerer(Protocol):
    """Writes an answer from passages, sentence by sentence."""

    @property
    def engine(self) -> Engine: ...

    def answer(self, inquiry: AnswerRequest, audience: AnswerSink) -> str | None:
        """``audience`` hears each sentence as soon as it is there, and none where the excerpts do
        not answer. Gives what a person should know of how it was answered. Raises
        ``RequestRefused`` where it will not, and what ``Wire.ask`` raises."""
        ...
