"""What is computed of ranked hits: measures of retrieval, of citations, of time.

Each question has one labelled answer, so recall at k is the share of questions with a hit in it
among the first k, and a perfect ranking has nDCG 1. A hit counts when the second it opens at lies
in the answer. Not here: asking (``ways.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, log2

import numpy as np

from benchmarks.retrieval.labelled import Label

DEEPEST = 10  # hits that are looked at
_NEAR_SECONDS = 2.0
#: Of what is said within a moment the times of words are only so exact.
_SLACK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Opened:
    """Where a hit opens."""

    talk: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, its hits, best first, and the seconds the search took."""

    label: Label
    hits: tuple[Opened, ...]
    seconds: float

    @property
    def place(self) -> int | None:
        """Of the first hit in the answer, from 1; None where none of the first ten is."""
        for place, hit in enumerate(self.hits[:DEEPEST], 1):
            if answers(hit, self.label):
                return place
        return None


@dataclass(frozen=True, slots=True)
class Quality:
    """Of a set of questions and the way they were searched; shares from 0 to 1."""

    asked_of: str
    way: str
    questions: int
    recall_1: float
    recall_5: float
    recall_10: float
    ndcg_10: float
    mrr_10: float


@dataclass(frozen=True, slots=True)
class Duel:
    """Two ways asked the same questions: to how many the one has the answer at a better place, and
    the other. ``p``: how often chance alone would part them so far (sign test, two-sided)."""

    asked_of: str
    way: str
    against: str
    questions: int
    better: int
    worse: int
    p: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Of searches by a way, in milliseconds."""

    way: str
    searches: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Citations:
    """How far from its answer's first word the best hit of the right recording opens, in seconds;
    ``within_2s`` is a share of the ``cited``, the questions that have such a hit at all."""

    asked_of: str
    way: str
    questions: int
    cited: int
    median_seconds: float
    p95_seconds: float
    within_2s: float


def answers(hit: Opened, label: Label) -> bool:
    """Whether the hit opens in the labelled answer."""
    return (
        hit.talk == label.talk
        and label.start_seconds - _SLACK_SECONDS <= hit.start_seconds < label.end_seconds
    )


def recall(answered: Sequence[Answered], depth: int) -> float:
    return sum((answer.place or DEEPEST + 1) <= depth for answer in answered) / len(answered)


def quality(asked_of: str, way: str, answered: Sequence[Answered]) -> Quality:
    found = [answer.place for answer in answered if answer.place]
    return Quality(
        asked_of=asked_of,
        way=way,
        questions=len(answered),
        recall_1=_rounded(recall(answered, 1)),
        recall_5=_rounded(recall(answered, 5)),
        recall_10=_rounded(recall(answered, DEEPEST)),
        ndcg_10=_rounded(sum(1 / log2(1 + place) for place in found) / len(answered)),
        mrr_10=_rounded(sum(1 / place for place in found) / len(answered)),
    )


def duel(asked_of: str, ways: Mapping[str, Sequence[Answered]], way: str, against: str) -> Duel:
    """By the place of the answer among the first ten; further down all places are the same."""
    places = [
        [answer.place or DEEPEST + 1 for answer in answered]
        for answered in (ways[way], ways[against])
    ]
    better = sum(place < other for place, other in zip(*places, strict=True))
    worse = sum(place > other for place, other in zip(*places, strict=True))
    apart = better + worse
    tail = sum(comb(apart, few) for few in range(min(better, worse) + 1)) / 2**apart
    p = _rounded(min(1.0, 2 * tail), 4)
    return Duel(asked_of, way, against, len(places[0]), better, worse, p)


def latency(way: str, answered: Sequence[Answered]) -> Latency:
    times = np.percentile([answer.seconds * 1000 for answer in answered], (50, 95, 99))
    return Latency(way, len(answered), *(_rounded(value, 1) for value in times))


def citations(asked_of: str, way: str, answered: Sequence[Answered]) -> Citations:
    errors = [
        abs(hit.start_seconds - answer.label.start_seconds)
        for answer in answered
        for hit in [next((hit for hit in answer.hits if hit.talk == answer.label.talk), None)]
        if hit
    ]
    near = [error for error in errors if error <= _NEAR_SECONDS]
    return Citations(
        asked_of=asked_of,
        way=way,
        questions=len(answered),
        cited=len(errors),
        median_seconds=_rounded(np.median(errors), 2),
        p95_seconds=_rounded(np.percentile(errors, 95), 2),
        within_2s=_rounded(len(near) / len(errors)),
    )


def _rounded(value: float | np.floating, digits: int = 3) -> float:
    return round(float(value), digits)
