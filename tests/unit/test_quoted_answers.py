"""The offline answerer: which sentences answer, and from which word on they are quoted."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from playhead.core.protocols.answerer import AnswerRequest, DraftSentence, Excerpt, TimedSentence
from playhead.engines.answering.extractive import ExtractiveAnswerer

_STOP = {"the", "a", "it", "was", "is", "we", "of", "were", "where", "what", "which", "to", "and"}


@dataclass(frozen=True)
class WordsAlike:
    """Texts are as close to the question as the test says of their words."""

    near: dict[str, float] = field(default_factory=dict)

    def terms(self, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        return [
            frozenset(word.strip(".,?").lower() for word in text.split()) - _STOP for text in texts
        ]

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        told = [
            max([0.0, *(near for word, near in self.near.items() if word in text)])
            for text in texts
        ]
        return np.array(told, np.float32)


@dataclass
class Heard:
    """An ``Audience``."""

    statements: list[DraftSentence] = field(default_factory=list)

    def on_sentence(self, statement: DraftSentence) -> None:
        self.statements.append(statement)

    def start_over(self) -> None:
        self.statements.clear()


def quotes(question: str, line: TimedSentence, **near: float) -> list[str]:
    """What is quoted of a recording that says one sentence."""
    excerpt = Excerpt("c", "r", "A talk", ".wav", line.text, 0, None, "english", (line,))
    heard = Heard()
    request = AnswerRequest(question, [excerpt], WordsAlike(near), "minilm")
    ExtractiveAnswerer().answer(request, heard)
    return [cited.quote for statement in heard.statements for cited in statement.cited]


def test_the_only_word_of_a_question_is_no_answer_to_it() -> None:
    said = TimedSentence("There is nothing going on.", 0.0, 2.0)
    assert quotes("Where were we going?", said, going=0.5) == []
    assert quotes("Where were we going?", said, going=0.6) == [said.text]


def test_two_words_of_a_question_are_more_of_an_answer() -> None:
    said = TimedSentence("There is nothing going on tonight.", 0.0, 2.0)
    assert quotes("What is going on tonight?", said, going=0.5) == [said.text]


def test_what_is_said_before_the_answer_is_left_out_where_it_is_long() -> None:
    text = "It was the season of darkness and of winter, it was the spring of hope"
    late, early = TimedSentence(text, 10.0, 15.9), TimedSentence(text, 10.0, 13.0)
    assert quotes("Which was the spring of hope?", late, spring=0.7, season=0.6) == [
        "it was the spring of hope"
    ]
    assert quotes("Which was the spring of hope?", early, spring=0.7, season=0.6) == [text]


def test_a_short_beginning_of_an_answer_stays() -> None:
    text = "In short, the spring of hope had come to all of us here"
    assert quotes("Which was the spring of hope?", TimedSentence(text, 0.0, 5.9), spring=0.7) == [
        text
    ]
