"""The offline answerer: the sentences of the recordings that answer best, as they were said; no
language model, nothing invented.

A sentence is judged by the words of the question that it has, rare ones before frequent ones, and
by its closeness to the question. Whether any answers at all is decided by both, at figures that
were measured (``benchmarks/answers.py``). Not here: finding the passages.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np

from playhead.core.protocols.answerer import (
    AnswerRequest,
    AnswerSink,
    DraftCitation,
    DraftSentence,
    TimedSentence,
)
from playhead.core.records import Engine

_VERSION: Final = "2"  # raise it with every change to what is chosen

#: A sentence answers from this sum on: the share of the question's words that it has, by weight,
#: and its cosine to the question. Of 51 questions that 19 recordings do not answer none came to
#: more than 1.14; of 105 that they do 65 came to this (``benchmarks/answers.py``, the half of its
#: questions by which this was chosen; before a single word counted less).
MIN_SCORE: Final = 1.25
#: The embedder whose cosines those are: another one's are of another measure, and not counted.
CALIBRATED_EMBEDDERS: Final = "minilm"
#: Without cosines the words must do alone; there the same 51 came to no more than 0.61.
MIN_COVERAGE_ALONE: Final = 0.7

_MAX_SENTENCES: Final = 3
_NEARLY_AS_GOOD: Final = 0.9  # of the best sentence's score: what is said beside it
#: Of a question with one word that says anything, that word proves less.
_ONE_WORD: Final = 0.7
_LONG_SECONDS: Final = 6.0  # a longer sentence is opened at the part of it that answers
_BEFORE_SECONDS: Final = 3.0  # and any, where so much is said before that part
_WORDS_VOTE: Final = 0.5  # of a part's words, beside its closeness
_LONG_CHARACTERS: Final = 240  # of a longer one only that part is told
_PART: Final = re.compile(r"(?<=[,;:–—、，；])\s*")
_MIN_WORDS: Final = 3  # of a part


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of an excerpt: the share of the question's words it has, and its closeness."""

    excerpt: int
    line: TimedSentence
    coverage: float
    closeness: float | None

    @property
    def score(self) -> float:
        return self.coverage + (self.closeness or 0.0)


class ExtractiveAnswerer:
    """The default ``Answerer``."""

    @property
    def engine(self) -> Engine:
        return Engine("extractive", _VERSION)

    def answer(self, inquiry: AnswerRequest, audience: AnswerSink) -> str | None:
        """See ``Answerer``. Never refuses, and says nothing about itself."""
        for one in _select(_candidates(inquiry), inquiry.embedder):
            part = _answering_part(one, inquiry)
            text = one.line.text if len(one.line.text) <= _LONG_CHARACTERS else part
            audience.on_sentence(DraftSentence(text, (DraftCitation(one.excerpt, part),)))
        return None


def _candidates(inquiry: AnswerRequest) -> list[_Candidate]:
    """Every sentence of every excerpt, once."""
    lines = {
        (excerpt.recording, line): number
        for number, excerpt in reversed([*enumerate(inquiry.excerpts, 1)])
        for line in excerpt.lines
    }
    told = [line.text for _, line in lines]
    near = inquiry.likeness.closeness(told) if told else None
    shares = _coverage(inquiry, [(lines[key], key[1].text) for key in lines])
    return [
        _Candidate(number, line, share, None if near is None else float(near[at]))
        for at, (((_, line), number), share) in enumerate(zip(lines.items(), shares, strict=True))
    ]


def _coverage(inquiry: AnswerRequest, lines: Sequence[tuple[int, str]]) -> list[float]:
    """Of each (excerpt's number, text): the share of the question's words that it has."""
    asked: dict[str, AbstractSet[str]] = {}
    had: list[AbstractSet[str]] = [frozenset()] * len(lines)
    rules = [inquiry.excerpts[number - 1].stems for number, _ in lines]
    for stems in dict.fromkeys(rules):
        places = [at for at, rule in enumerate(rules) if rule == stems]
        texts = [inquiry.question, *(lines[at][1] for at in places)]
        asked[stems], *found = inquiry.likeness.terms(stems, texts)
        for at, terms in zip(places, found, strict=True):
            had[at] = terms
    seen = Counter(term for terms in had for term in terms)
    weights = {
        term: math.log(1 + len(lines) / (1 + seen[term]))
        for terms in asked.values()
        for term in terms
    }
    return [_share(asked[stems], terms, weights) for stems, terms in zip(rules, had, strict=True)]


def _share(asked: AbstractSet[str], had: AbstractSet[str], weights: dict[str, float]) -> float:
    whole = math.fsum(weights[term] for term in asked)
    share = math.fsum(weights[term] for term in asked & had) / whole if whole else 0.0
    return share if len(asked) > 1 else _ONE_WORD * share


def _select(candidates: Sequence[_Candidate], embedder: str) -> list[_Candidate]:
    """Those that answer, the best first; none where none does."""
    able = [one for one in candidates if _is_answer(one, embedder)]
    ranked = sorted(able, key=lambda one: -one.score)[:_MAX_SENTENCES]
    return [one for one in ranked if one.score >= _NEARLY_AS_GOOD * ranked[0].score]


def _is_answer(one: _Candidate, embedder: str) -> bool:
    if one.closeness is None or embedder != CALIBRATED_EMBEDDERS:
        return one.coverage >= MIN_COVERAGE_ALONE
    return one.score >= MIN_SCORE


def _answering_part(one: _Candidate, inquiry: AnswerRequest) -> str:
    """Of a sentence that is long, or comes to it late, the part between commas that answers."""
    seconds = one.line.end_seconds - one.line.start_seconds
    if seconds <= _BEFORE_SECONDS:
        return one.line.text
    parts = _parts(one.line.text)
    near = inquiry.likeness.closeness(parts)
    if near is None:
        return one.line.text
    shares = _coverage(inquiry, [(one.excerpt, part) for part in parts])
    best = int(np.argmax(near + _WORDS_VOTE * np.array(shares)))
    before = seconds * sum(map(len, parts[:best])) / sum(map(len, parts))  # speech is even enough
    late = seconds > _LONG_SECONDS or before > _BEFORE_SECONDS
    return parts[best] if late else one.line.text


def _parts(text: str) -> list[str]:
    """Between commas, none of fewer than three words."""
    parts: list[str] = []
    for piece in _PART.split(text):
        if parts and len(parts[-1].split()) < _MIN_WORDS:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
    if len(parts) > 1 and len(parts[-1].split()) < _MIN_WORDS:
        last = parts.pop()
        parts[-1] = f"{parts[-1]} {last}"
    return parts
