"""The extractive answerer: which sentences answer, and where their quotes begin."""

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
class ScriptedSimilarity:
    """A ``Similarity`` in which words have the similarity that the test gives them."""

    similarities: dict[str, float] = field(default_factory=dict)

    def terms(self, stems: str, texts: Sequence[str]) -> list[AbstractSet[str]]:
        return [
            frozenset(word.strip(".,?").lower() for word in text.split()) - _STOP for text in texts
        ]

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        closest = [
            max(
                [
                    0.0,
                    *(
                        similarities
                        for word, similarities in self.similarities.items()
                        if word in text
                    ),
                ]
            )
            for text in texts
        ]
        return np.array(closest, np.float32)


@dataclass
class SentenceList:
    """An ``AnswerSink`` that stores the sentences."""

    statements: list[DraftSentence] = field(default_factory=list)

    def on_sentence(self, statement: DraftSentence) -> None:
        self.statements.append(statement)

    def start_over(self) -> None:
        self.statements.clear()


def quotes(question: str, line: TimedSentence, **similarities: float) -> list[str]:
    """Return the quotes from a recording of one sentence."""
    excerpt = Excerpt("c", "r", "A talk", ".wav", line.text, 0, None, "english", (line,))
    sink = SentenceList()
    request = AnswerRequest(question, [excerpt], ScriptedSimilarity(similarities), "minilm")
    ExtractiveAnswerer().answer(request, sink)
    return [cited.quote for statement in sink.statements for cited in statement.cited]


def test_only_word_of_a_question_is_not_an_answer() -> None:
    sentence = TimedSentence("There is nothing going on.", 0.0, 2.0)
    assert quotes("Where were we going?", sentence, going=0.5) == []
    assert quotes("Where were we going?", sentence, going=0.6) == [sentence.text]


def test_two_words_of_a_question_are_an_answer() -> None:
    sentence = TimedSentence("There is nothing going on tonight.", 0.0, 2.0)
    assert quotes("What is going on tonight?", sentence, going=0.5) == [sentence.text]


def test_quote_leaves_out_a_long_beginning() -> None:
    text = "It was the season of darkness and of winter, it was the spring of hope"
    late, early = TimedSentence(text, 10.0, 15.9), TimedSentence(text, 10.0, 13.0)
    assert quotes("Which was the spring of hope?", late, spring=0.7, season=0.6) == [
        "it was the spring of hope"
    ]
    assert quotes("Which was the spring of hope?", early, spring=0.7, season=0.6) == [text]


def test_quote_keeps_a_short_beginning() -> None:
    text = "In short, the spring of hope had come to all of us here"
    assert quotes("Which was the spring of hope?", TimedSentence(text, 0.0, 5.9), spring=0.7) == [
        text
    ]
