"""Sentences tile their text: nothing lost, nothing moved, in any language."""

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


def pieces(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


@settings(max_examples=1_000, deadline=None)
@given(TEXTS, LANGUAGES)
def test_sentences_put_together_are_the_text_again(text: str, language: str) -> None:
    ranges = split_sentences(text, language)
    assert "".join(text[start:end] for start, end in ranges) == text
    assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert all(start < end for start, end in ranges)


def test_an_abbreviation_does_not_end_a_sentence() -> None:
    assert pieces("Dr. Mills spoke. She left.") == ["Dr. Mills spoke. ", "She left."]


def test_chinese_sentences_need_no_space_between_them() -> None:
    assert pieces("今天很好。我们走吧！", "zh") == ["今天很好。", "我们走吧！"]


def test_positions_are_right_after_characters_of_many_code_points() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    assert pieces(f"{family} came. {family} went.") == [f"{family} came. ", f"{family} went."]


def test_an_initial_after_a_no_break_space_is_read_like_any_other() -> None:
    assert "".join(pieces("Signé\u00a0M\u00a0. Fin.", "fr")) == "Signé\u00a0M\u00a0. Fin."


def test_an_unknown_language_is_read_all_the_same() -> None:
    assert pieces("One. Two.", "xx") == ["One. ", "Two."]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [{"start_index": 0, "end_index": 3}],
        [{"start_index": 0, "end_index": 5}, {"start_index": 4, "end_index": 8}],
        [{"start_index": 0, "end_index": 0}, {"start_index": 0, "end_index": 8}],
    ],
)
def test_an_answer_that_loses_text_is_replaced_by_lines(
    monkeypatch: pytest.MonkeyPatch, answer: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(module, "get_sentence_boundaries", lambda language, text: answer)
    assert pieces("one\ntwo\n") == ["one\n", "two\n"]
