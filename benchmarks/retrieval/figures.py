"""Figures computed from ranked hits: measures of retrieval, of citations, of time.

Each question has one labelled answer, so recall at k is the share of questions with a hit in it
among the first k, and a perfect ranking has nDCG 1. A hit counts if the second at which it opens is
in the answer. ``ways.py`` runs the searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, log2

import numpy as np

from benchmarks.retrieval.labelled import Label

MAX_DEPTH = 10  # hits that are evaluated
_NEAR_SECONDS = 2.0
#: Word times are only this exact.
_SLACK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class OpenedHit:
    """The talk and the seconds that a hit opens."""

    talk: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class SearchedQuestion:
    """A question, its hits, best first, and the seconds of the search."""

    label: Label
    hits: tuple[OpenedHit, ...]
    seconds: float

    @property
    def rank(self) -> int | None:
        """Return the rank of the first hit in the answer, from 1.

        None if none of the first ten hits is in it.
        """
        for rank, hit in enumerate(self.hits[:MAX_DEPTH], 1):
            if opens_in_answer(hit, self.label):
                return rank
        return None


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of a set of questions and a way to search; shares from 0 to 1."""

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
    """Two ways with the same questions: how many each ranks the answer better than the other.

    ``p``: the probability that chance alone gives such a difference (sign test, two-sided).
    """

    asked_of: str
    way: str
    against: str
    questions: int
    better: int
    worse: int
    p: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of searches by a way, in milliseconds."""

    way: str
    searches: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Citations:
    """Seconds between an answer's first word and where the best hit of its recording opens.

    ``within_2s`` is a share of the ``cited``, the questions that have such a hit at all.
    """

    asked_of: str
    way: str
    questions: int
    cited: int
    median_seconds: float
    p95_seconds: float
    within_2s: float


def opens_in_answer(hit: OpenedHit, label: Label) -> bool:
    """Return True if the hit opens in the labelled answer."""
    return (
        hit.talk == label.talk
        and label.start_seconds - _SLACK_SECONDS <= hit.start_seconds < label.end_seconds
    )


def recall(answered: Sequence[SearchedQuestion], depth: int) -> float:
    return sum((answer.rank or MAX_DEPTH + 1) <= depth for answer in answered) / len(answered)


def quality(asked_of: str, way: str, answered: Sequence[SearchedQuestion]) -> Quality:
    ranks = [answer.rank for answer in answered if answer.rank]
    return Quality(
        asked_of=asked_of,
        way=way,
        questions=len(answered),
        recall_1=_rounded(recall(answered, 1)),
        recall_5=_rounded(recall(answered, 5)),
        recall_10=_rounded(recall(answered, MAX_DEPTH)),
        ndcg_10=_rounded(sum(1 / log2(1 + rank) for rank in ranks) / len(answered)),
        mrr_10=_rounded(sum(1 / rank for rank in ranks) / len(answered)),
    )


def duel(
    asked_of: str, ways: Mapping[str, Sequence[SearchedQuestion]], way: str, against: str
) -> Duel:
    """Compare the ranks of the answer among the first ten; lower ranks count as equal."""
    rank_lists = [
        [answer.rank or MAX_DEPTH + 1 for answer in answered]
        for answered in (ways[way], ways[against])
    ]
    better = sum(rank < other for rank, other in zip(*rank_lists, strict=True))
    worse = sum(rank > other for rank, other in zip(*rank_lists, strict=True))
    decided = better + worse
    tail = sum(comb(decided, count) for count in range(min(better, worse) + 1)) / 2**decided
    p = _rounded(min(1.0, 2 * tail), 4)
    return Duel(asked_of, way, against, len(rank_lists[0]), better, worse, p)


def latency(way: str, answered: Sequence[SearchedQuestion]) -> Latency:
    times = np.percentile([answer.seconds * 1000 for answer in answered], (50, 95, 99))
    return Latency(way, len(answered), *(_rounded(value, 1) for value in times))


def citations(asked_of: str, way: str, answered: Sequence[SearchedQuestion]) -> Citations:
    errors = [
        abs(hit.start_seconds - answer.label.start_seconds)
        for answer in answered
        for hit in [next((hit for hit in answer.hits if hit.talk == answer.label.talk), None)]
        if hit
    ]
    close = [error for error in errors if error <= _NEAR_SECONDS]
    return Citations(
        asked_of=asked_of,
        way=way,
        questions=len(answered),
        cited=len(errors),
        median_seconds=_rounded(np.median(errors), 2),
        p95_seconds=_rounded(np.percentile(errors, 95), 2),
        within_2s=_rounded(len(close) / len(errors)),
    )


def _rounded(value: float | np.floating, digits: int = 3) -> float:
    return round(float(value), digits)
