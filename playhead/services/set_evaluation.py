"""Evaluate whether an embedding set is good enough to replace the active one.

A known-item test: a sentence of a chunk, used as a query, should find that chunk. Both sets get the
same queries. Activation itself (``EmbeddingSets.activate``) also checks that no recording is
missing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from psycopg.rows import DictRow

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import ConfigurationError
from playhead.core.sentences import split_sentences
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.embedding_sets import EmbeddingSet, EmbeddingSets, InvalidSetState
from playhead.services.recall import MIN_RECALL, recall

QUESTIONS = 50
DEPTH = 10

#: Wide bounds: two good models rank differently, a broken model finds almost nothing.
MAX_LOSS = 0.05
MIN_OVERLAP = 0.2
MAX_LATENCY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measurements of a set.

    ``found`` and ``found_before``: the share of queries whose chunk is among the first ten hits, in
    this set and in the active one. ``overlap``: the share of the active set's hits that the new set
    finds, too. ``recall``: of the index against an exact scan. Latencies are in seconds, 95th
    percentile.
    """

    lacking: int
    questions: int
    found: float
    found_before: float
    overlap: float
    recall: float
    latency: float
    latency_before: float

    @property
    def faults(self) -> list[str]:
        """Return the reasons against activating the set; empty if it passed."""
        checks = {
            f"{self.lacking} recordings are missing": self.lacking == 0,
            f"finds {self.found:.0%} of known passages, the old set {self.found_before:.0%}": (
                self.found >= self.found_before - MAX_LOSS
            ),
            f"shares only {self.overlap:.0%} of its hits with the old set": (
                self.overlap >= MIN_OVERLAP
            ),
            f"its indexes find {self.recall:.1%} of what an exact scan finds": (
                self.recall >= MIN_RECALL
            ),
            f"answers in {self.latency:.3f} s, the old set in {self.latency_before:.3f} s": (
                self.latency <= max(MAX_LATENCY_SECONDS, 2 * self.latency_before)
            ),
        }
        return [fault for fault, holds in checks.items() if not holds]


class EvaluationFailed(ConfigurationError):
    """A set did not pass its evaluation."""


def evaluate(
    candidate: EmbeddingSet, sets: EmbeddingSets, passages: ChunkSearch, embedders: EmbedderRegistry
) -> Evaluation:
    """Compare ``candidate`` with the active set and store the evaluation with it."""
    active = sets.active()
    if active is None:
        raise InvalidSetState(
            "There is no active set to compare with.",
            remedy="Process a recording first: playhead process",
        )
    items = passages.evaluation_samples(active, QUESTIONS)
    old = _SetMeasurement(active, passages, embedders, items)
    new = _SetMeasurement(candidate, passages, embedders, items)
    evaluation = Evaluation(
        lacking=sets.progress(candidate).lacking,
        questions=len(items),
        found=new.found,
        found_before=old.found,
        overlap=_mean([_overlap(a, b) for a, b in zip(old.answers, new.answers, strict=True)]),
        recall=new.recall,
        latency=new.latency,
        latency_before=old.latency,
    )
    sets.record_gate(candidate, {**asdict(evaluation), "faults": evaluation.faults})
    return evaluation


def require_passed(evaluation: Evaluation, embedding_set: EmbeddingSet) -> None:
    """Raise ``EvaluationFailed`` with every fault if the set did not pass."""
    if faults := "; ".join(evaluation.faults):
        raise EvaluationFailed(
            f"{embedding_set.name} (set {embedding_set.id}) was not activated: {faults}.",
            remedy=f"See `playhead models status {embedding_set.id}`. Search keeps using the "
            "active set.",
        )


class _SetMeasurement:
    """The answers of one set to the queries, with their hit rate, recall and latency."""

    def __init__(
        self,
        embedding_set: EmbeddingSet,
        passages: ChunkSearch,
        embedders: EmbedderRegistry,
        items: Sequence[DictRow],
    ) -> None:
        embedder = embedders.of(embedding_set)
        self.answers: list[list[DictRow]] = []
        seconds: list[float] = []
        recalls: list[float] = []
        for item in items:
            started = time.perf_counter()
            with call_context(CallContext(item["org_id"], "gate")):
                vector = embedder.embed([_question(item["text"])])[0]
            answer = passages.nearest(vector, embedding_set, org_id=item["org_id"], limit=DEPTH)
            seconds.append(time.perf_counter() - started)
            self.answers.append(answer)
            exact = passages.nearest_exact(
                vector, embedding_set, org_id=item["org_id"], limit=DEPTH
            )
            recalls.append(recall(answer, exact))
        self.found = _mean(
            [
                any(_same(item, hit) for hit in answer)
                for item, answer in zip(items, self.answers, strict=True)
            ]
        )
        self.recall = _mean(recalls)
        self.latency = float(np.percentile(seconds, 95)) if seconds else 0.0


def _question(text: str) -> str:
    """Return the first sentence of a chunk."""
    start, end = split_sentences(text, "en")[0]
    return text[start:end]


def _overlap(old: Sequence[DictRow], new: Sequence[DictRow]) -> float:
    return _mean([any(_same(hit, other) for other in new) for hit in old])


def _same(row: DictRow, other: DictRow) -> bool:
    """Return True if two chunks overlap in time in the same recording."""
    if row["recording"] != other["recording"] or other["start_seconds"] is None:
        return False
    disjoint = (
        row["end_seconds"] < other["start_seconds"] or other["end_seconds"] < row["start_seconds"]
    )
    return not disjoint


def _mean(values: Sequence[float]) -> float:
    """Return the mean, or 1 without values, since nothing was found to be wrong."""
    return statistics.fmean(values) if values else 1.0
