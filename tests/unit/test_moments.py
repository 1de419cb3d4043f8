"""The moment that a hit opens at is found without reading every sentence of a passage."""

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
class Asking:
    """A question of which nothing but its words is known."""

    text: str

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        return None


@pytest.mark.parametrize("place", range(len(_ABOUT_COOKING) + 1))
def test_the_sentence_that_answers_is_among_those_read_wherever_it_stands(place: int) -> None:
    answer = "The parliament voted to raise the taxes on petrol."
    told = [*_ABOUT_COOKING[:place], answer, *_ABOUT_COOKING[place:]]
    for question in ("Which taxes were raised?", "What did the politicians decide about fuel?"):
        read = top_candidates(Asking(question), told)
        assert place in read
        assert read == sorted(read)
        assert len(read) == MAX_CANDIDATES


def test_a_passage_of_few_sentences_is_read_whole() -> None:
    assert top_candidates(Asking("anything"), _ABOUT_COOKING[:MAX_CANDIDATES]) == [
        *range(MAX_CANDIDATES)
    ]


@pytest.mark.parametrize("question", ["", "?", "🎉", "word " * 20_000, "x" * 100_000])
def test_no_question_is_too_odd_for_it(question: str) -> None:
    assert len(top_candidates(Asking(question), _ABOUT_COOKING)) == MAX_CANDIDATES
