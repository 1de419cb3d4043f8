"""The nearest sentence of a chunk is found without embedding every sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from playhead.engines.reranking.nearest_sentence import MAX_CANDIDATES, top_candidates

_ABOUT_COOKING = [
    "We boiled the rice for ten minutes and let it rest.",
    "My grandmother never used salt at all.",
    "The kitchen was so small that two people could not pass.",
    "He cut the onions while she fried the garlic.",
    "Some of the plates were chipped, but nobody minded.",
    "Dessert was an apple pie with a crust of butter.",
    "The wine had been open since Tuesday.",
    "Afterwards the children washed the dishes.",
]


@dataclass(frozen=True)
class TextQuery:
    """A query of which only the text is known."""

    text: str

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        return None


@pytest.mark.parametrize("position", range(len(_ABOUT_COOKING) + 1))
def test_answering_sentence_is_a_candidate_wherever_it_is(position: int) -> None:
    answer = "The parliament voted to raise the taxes on petrol."
    sentences = [*_ABOUT_COOKING[:position], answer, *_ABOUT_COOKING[position:]]
    for question in ("Which taxes were raised?", "What did the politicians decide about fuel?"):
        candidates = top_candidates(TextQuery(question), sentences)
        assert position in candidates
        assert candidates == sorted(candidates)
        assert len(candidates) == MAX_CANDIDATES


def test_chunk_of_few_sentences_is_read_whole() -> None:
    assert top_candidates(TextQuery("anything"), _ABOUT_COOKING[:MAX_CANDIDATES]) == [
        *range(MAX_CANDIDATES)
    ]


@pytest.mark.parametrize("question", ["", "?", "🎉", "word " * 20_000, "x" * 100_000])
def test_odd_questions_are_accepted(question: str) -> None:
    assert len(top_candidates(TextQuery(question), _ABOUT_COOKING)) == MAX_CANDIDATES
