"""Split sentences cover their text exactly, in any language."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core import sentences as module
from playhead.core.sentences import split_sentences

LANGUAGES = st.sampled_from(["en", "de", "fr", "ru", "ar", "hi", "th", "ja", "zh", "xx", ""])
TEXTS = st.one_of(
    st.text(),  # lone surrogates too
    st.text(alphabet=" \n\r\t..!?。！？…\"'“”()«»—;\u2029\x85\xa0\u3000\u200d\u0301\x00ABcd1é👩"),
)


def split(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


@settings(max_examples=1_000, deadline=None)
@given(TEXTS, LANGUAGES)
def test_joined_sentences_are_the_text(text: str, language: str) -> None:
    ranges = split_sentences(text, language)
    assert "".join(text[start:end] for start, end in ranges) == text
    assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert all(start < end for start, end in ranges)


def test_abbreviation_does_not_end_a_sentence() -> None:
    assert split("Dr. Mills spoke. She left.") == ["Dr. Mills spoke. ", "She left."]


def test_chinese_sentences_need_no_space() -> None:
    assert split("今天很好。我们走吧！", "zh") == ["今天很好。", "我们走吧！"]


def test_positions_after_multi_code_point_characters_are_right() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    assert split(f"{family} came. {family} went.") == [f"{family} came. ", f"{family} went."]


def test_initial_after_a_no_break_space_is_preserved() -> None:
    assert "".join(split("Signé\u00a0M\u00a0. Fin.", "fr")) == "Signé\u00a0M\u00a0. Fin."


def test_unknown_language_is_split_too() -> None:
    assert split("One. Two.", "xx") == ["One. ", "Two."]


@pytest.mark.parametrize(
    "boundaries",
    [
        [],
        [{"start_index": 0, "end_index": 3}],
        [{"start_index": 0, "end_index": 5}, {"start_index": 4, "end_index": 8}],
        [{"start_index": 0, "end_index": 0}, {"start_index": 0, "end_index": 8}],
    ],
)
def test_split_that_loses_text_is_replaced_by_lines(
    monkeypatch: pytest.MonkeyPatch, boundaries: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(module, "get_sentence_boundaries", lambda language, text: boundaries)
    assert split("one\ntwo\n") == ["one\n", "two\n"]
