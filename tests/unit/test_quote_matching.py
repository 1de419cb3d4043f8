"""Quotes are found only where their words are, and open at the second they were spoken."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from playhead.answers.quote_matching import (
    find_all,
    find_quote,
    find_quote_near,
    numbers_in,
    quote_times,
)
from playhead.core.protocols.answerer import Excerpt, TimedSentence
from playhead.transcripts.word_positions import timed_text
from tests.support import factories

TEXT = "To start, dial six hundred. No! Don't wait — the «echo» answers. No."
TIMED = timed_text(factories.make_transcript(TEXT))


def excerpt(text: str = TEXT, char_start: int = 0) -> Excerpt:
    lines = (TimedSentence("To start, dial six hundred.", 0.0, 2.5), TimedSentence("No!", 2.5, 3.0))
    return Excerpt("c", "r", "A talk", ".flac", text, char_start, None, "english", lines)


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        ("dial six hundred", "dial six hundred"),
        ("  DIAL, six —\nhundred!! ", "dial six hundred"),
        ("wait the echo answers", "wait — the «echo» answers"),
        ("dont wait the", None),
        ("don’t wait the", "Don't wait — the"),
        ("dial six thousand", None),
        ("dial hundred six", None),
        ("ial six hundre", None),
        ("dial … hundred", None),
        ("six hundred", None),
        ("No", "No"),
        ("echo", None),
        ("", None),
        ("…", None),
    ],
)
def test_quote_must_match_whole_words_and_be_long_enough(quote: str, match: str | None) -> None:
    found = find_quote(quote, excerpt())
    assert (TEXT[slice(*found)] if found else None) == match


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(), st.text())
def test_quote_cut_at_word_boundaries_is_found(a: str, b: str, c: str) -> None:
    text = f"{a} {b} {c}"
    assume(any(char.isalnum() for char in b))
    assert [*find_all(f" {b} ", text)]


def test_quote_in_an_unspaced_script_matches_by_character() -> None:
    text = "真っ昼間なのにキャンプの外れの電柱に電球がともっていた"
    assert [text[a:b] for a, b in find_all("キャンプの外れ", text)] == ["キャンプの外れ"]
    assert not [*find_all("キャンプの中", text)]


def test_quote_opens_at_its_first_word() -> None:
    match = find_quote("dial six hundred", excerpt())
    assert match is not None
    assert quote_times(excerpt(), match, TIMED) == (1.0, 2.5)


def test_quote_opens_at_its_sentence_if_the_transcript_changed() -> None:
    match = find_quote("dial six hundred", excerpt())
    assert match is not None
    other = timed_text(
        factories.make_transcript("Something else was said, and it is longer than that.")
    )
    assert quote_times(excerpt(), match, other) == (0.0, 2.5)
    assert quote_times(excerpt(), match, None) == (0.0, 2.5)


def test_quote_that_moved_a_little_is_found_nearby() -> None:
    pause = " ".join(["um"] * 30)
    before = timed_text(
        factories.make_transcript(f"so then dial six hundred {pause} dial six hundred again")
    )
    assert find_quote_near("Dial six hundred", 2.0, before) == (1.0, 2.5)
    assert find_quote_near("dial six hundred", 17.0, before) == (17.5, 19.0)
    assert find_quote_near("dial six hundred", 9.0, before) is None
    assert find_quote_near("dial seven hundred", 1.0, before) is None
    assert (
        find_quote_near("dial six hundred", 1.0, timed_text(factories.make_transcript(""))) is None
    )


def test_numbers_are_compared_by_their_digits() -> None:
    assert numbers_in(["28.8 kilobit, 1,234 and ٣"]) == {"28", "8", "1", "234", "٣"}
