"""The moment within a stretch: which of its sentences the question is about.

Not here: how near a sentence is to a question (``playhead/engines/reranking/nearest_sentence.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playhead.core.protocols.reranker import QueryContext
from playhead.engines.reranking.nearest_sentence import sentence_scores, top_candidates
from playhead.postgres.search.chunk_search import Match


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, its first and last character ``within`` the stretch, its seconds, and the
    passage it stands in."""

    text: str
    within: tuple[int, int]
    start_seconds: float
    end_seconds: float
    match: Match


def candidate_sentences(question: QueryContext, phrases: Sequence[Sentence]) -> list[Sentence]:
    """The few of which one is the moment: to read them all would be most of a search's work."""
    return [phrases[at] for at in top_candidates(question, [phrase.text for phrase in phrases])]


def best_sentence(question: QueryContext, phrases: Sequence[Sentence]) -> Sentence:
    """The phrase that shares most words with the question and lies closest to it; the earliest
    of equals."""
    scores = sentence_scores(question, [phrase.text for phrase in phrases])
    return phrases[int(np.argmax(scores))]
