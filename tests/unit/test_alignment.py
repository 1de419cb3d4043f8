"""Alignment of the words of two texts, and the tokens it compares."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.transcripts.alignment import align, edit_tokens

WORDS = st.lists(st.sampled_from(["a", "b", "B,", "c", "d!", "雨", "—", "…"]), max_size=25)


@settings(max_examples=500, deadline=None)
@given(WORDS, WORDS)
def test_matches_never_cross_and_equal_ends_are_matched(old: list[str], new: list[str]) -> None:
    matches = align(old, new)
    found = [match for match in matches if match is not None]
    assert len(matches) == len(new)
    assert all(before < after for before, after in pairwise([-1, *found, len(old)]))
    assert align(["x", *old, "y"], ["x", *new, "y"])[0] == 0
    assert align(["x", *old, "y"], ["x", *new, "y"])[-1] == len(old) + 1


def test_longest_run_is_matched_in_reordered_words() -> None:
    assert align("a b c d e".split(), "d e a b c".split()) == [None, None, 0, 1, 2]


@given(st.text())
def test_edit_tokens_cover_every_character(text: str) -> None:
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
def test_edit_tokens_are_words_or_characters_in_unspaced_scripts(
    text: str, pieces: list[str]
) -> None:
    assert [text[start:end] for start, end in edit_tokens(text)] == pieces
