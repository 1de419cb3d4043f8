"""Choose the sentence within a passage group that matches the query best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playhead.core.protocols.reranker import QueryContext
from playhead.engines.reranking.nearest_sentence import sentence_scores, top_candidates
from playhead.postgres.search.chunk_search import Match


@dataclass(frozen=True, slots=True)
class Sentence:
    """A timed sentence of a passage group.

    ``within`` is its range of characters in the group's text, ``match`` the chunk that contains it.
    """

    text: str
    within: tuple[int, int]
    start_seconds: float
    end_seconds: float
    match: Match


def candidate_sentences(question: QueryContext, sentences: Sequence[Sentence]) -> list[Sentence]:
    """Return the few most likely sentences; embedding all would dominate the cost."""
    return [
        sentences[index]
        for index in top_candidates(question, [sentence.text for sentence in sentences])
    ]


def best_sentence(question: QueryContext, sentences: Sequence[Sentence]) -> Sentence:
    """Return the sentence that shares most words with the query and is closest to it.

    The first of equals is returned.
    """
    scores = sentence_scores(question, [sentence.text for sentence in sentences])
    return sentences[int(np.argmax(scores))]
