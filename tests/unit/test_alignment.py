"""Words of two texts are paired in order, and every letter is in a piece."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.transcripts.alignment import align, edit_tokens

WORDS = st.lists(st.sampled_from(["a", "b", "B,", "c", "d!", "雨", "—", "…"]), max_size=25)


@settings(max_examples=500, deadline=None)
@given(WORDS, WORDS)
def test_pairs_never_cross_and_what_is_equal_at_the_ends_is_paired(
    old: list[str], new: list[str]
) -> None:
    mates = align(old, new)
    found = [mate for mate in mates if mate is not None]
    assert len(mates) == len(new)
    assert all(before < after for before, after in pairwise([-1, *found, len(old)]))
    assert align(["x", *old, "y"], ["x", *new, "y"])[0] == 0
    assert align(["x", *old, "y"], ["x", *new, "y"])[-1] == len(old) + 1


def test_of_words_in_another_order_the_longest_row_is_paired() -> None:
    assert align("a b c d e".split(), "d e a b c".split()) == [None, None, 0, 1, 2]


@given(st.text())
def test_every_letter_is_in_one_piece(text: str) -> None:
    assert "".join(text[start:end] for start, end in edit_tokens(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("twenty-five — don't!", ["twenty-five", "—", "don't!"]),
        ("「今日は雨です。」AIです", ["「今", "日", "は", "雨", "で", "す。」", "AI", "で", "す"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
    ],
)
def test_pieces_are_words_or_characters_where_a_script_has_no_spaces(
    text: str, pieces: list[str]
) -> None:
    assert [text[start:end] for start, end in edit_tokens(text)] == pieces
