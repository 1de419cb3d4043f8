"""The moment within a passage: which of its phrases the question is about.

Not here: finding the passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playhead.search.question import Question

_WORD = re.compile(r"\w+")
_STEM_LETTERS = 5  # crude, but the same for every alphabet: "asked" and "asking" meet at "ask.."


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence of a passage and its seconds."""

    text: str
    start_seconds: float
    end_seconds: float


def best_phrase(question: Question, phrases: Sequence[Phrase]) -> Phrase:
    """The phrase that shares most words with the question and lies closest to it; the earliest
    of equals."""
    closeness = question.closeness([phrase.text for phrase in phrases])
    shared = np.array([_shared(question.text, phrase.text) for phrase in phrases])
    scores = shared if closeness is None else shared + closeness
    return phrases[int(np.argmax(scores))]


def _shared(query: str, text: str) -> float:
    """The share of the query's words that the text has too, 0 to 1."""
    wanted = _stems(query)
    return len(wanted & _stems(text)) / len(wanted) if wanted else 0.0


def _stems(text: str) -> set[str]:
    return {word[:_STEM_LETTERS] for word in _WORD.findall(text.lower())}
