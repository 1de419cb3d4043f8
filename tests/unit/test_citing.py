"""A quote is shown only where its words stand, and opens at the second they were said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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

SAID = "To start, dial six hundred. No! Don't wait — the «echo» answers. No."
SPOKEN = timed_text(factories.transcript(SAID))


def excerpt(text: str = SAID, char_start: int = 0) -> Excerpt:
    lines = (TimedSentence("To start, dial six hundred.", 0.0, 2.5), TimedSentence("No!", 2.5, 3.0))
    return Excerpt("c", "r", "A talk", ".flac", text, char_start, None, "english", lines)


@pytest.mark.parametrize(
    ("quote", "stands"),
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
def test_words_must_stand_as_they_are_and_be_enough_to_prove_something(
    quote: str, stands: str | None
) -> None:
    found = find_quote(quote, excerpt())
    assert (SAID[slice(*found)] if found else None) == stands


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(), st.text())
def test_what_was_cut_out_of_a_text_at_words_stands_in_it(a: str, b: str, c: str) -> None:
    text = f"{a} {b} {c}"
    if any(char.isalnum() for char in b):
        assert [*find_all(f" {b} ", text)]


def test_scripts_without_spaces_are_quoted_by_the_character() -> None:
    text = "真っ昼間なのにキャンプの外れの電柱に電球がともっていた"
    assert [text[a:b] for a, b in find_all("キャンプの外れ", text)] == ["キャンプの外れ"]
    assert not [*find_all("キャンプの中", text)]


def test_a_quote_opens_at_its_own_first_word_not_at_its_sentence() -> None:
    stands = find_quote("dial six hundred", excerpt())
    assert stands is not None
    assert quote_times(excerpt(), stands, SPOKEN) == (1.0, 2.5)


def test_where_the_transcript_is_another_by_now_it_opens_at_its_sentence() -> None:
    stands = find_quote("dial six hundred", excerpt())
    assert stands is not None
    other = timed_text(factories.transcript("Something else was said, and it is longer than that."))
    assert quote_times(excerpt(), stands, other) == (0.0, 2.5)
    assert quote_times(excerpt(), stands, None) == (0.0, 2.5)


def test_words_that_moved_a_little_are_found_again_and_those_far_away_are_not() -> None:
    pause = " ".join(["um"] * 30)
    before = timed_text(
        factories.transcript(f"so then dial six hundred {pause} dial six hundred again")
    )
    assert find_quote_near("Dial six hundred", 2.0, before) == (1.0, 2.5)
    assert find_quote_near("dial six hundred", 17.0, before) == (17.5, 19.0)
    assert find_quote_near("dial six hundred", 9.0, before) is None
    assert find_quote_near("dial seven hundred", 1.0, before) is None
    assert find_quote_near("dial six hundred", 1.0, timed_text(factories.transcript(""))) is None


def test_numbers_are_known_by_their_digits() -> None:
    assert numbers_in(["28.8 kilobit, 1,234 and ٣"]) == {"28", "8", "1", "234", "٣"}
