"""Text in scripts without spaces is split alike for corrections, citations and ranking."""

from __future__ import annotations

import pytest

from playhead.answers.quote_matching import find_all
from playhead.engines.writing.sentence_ranking import term_vectors
from playhead.engines.writing.timed_sentences import SpokenSentence
from playhead.transcripts.alignment import edit_tokens

#: Texts of four characters, each of a script or block that is written without spaces.
TEXTS = {
    "Han": "会議資料",
    "rare Han of a supplementary plane": "\U00020000\U00020001\U0002a700\U0002b740",
    "compatibility ideographs": "\uf900\uf901\uf902\uf903",
    "hiragana": "ひらがな",
    "half-width katakana": "\uff76\uff80\uff76\uff85",
    "Thai": "กขคง",
}

unspaced = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


@unspaced
def test_each_character_is_an_edit_token(text: str) -> None:
    assert edit_tokens(text) == [(at, at + 1) for at in range(4)]


@unspaced
def test_quote_of_some_characters_is_found_within_a_sentence(text: str) -> None:
    assert list(find_all(text[1:], f"abc {text} def")) == [(5, 8)]


@unspaced
def test_sentences_that_share_characters_share_ranking_terms(text: str) -> None:
    sentences = [SpokenSentence(said, 0.0, 1.0) for said in (text, text[1:], "something else")]
    whole, part, other = term_vectors(sentences, set())
    assert set(whole) & set(part)
    assert not set(whole) & set(other)
