"""Which passages of a corrected text are other ones: those that were corrected."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import pairwise

from playhead.chunking.chunker import ChunkingConfig
from playhead.core.records import Chunk, TimedSpan
from tests.unit.chunking_strategies import SYLLABLES, cut, prose, said

TEXT = prose(random.Random(7), 10_000)
CONFIG = ChunkingConfig("text")


BEFORE = cut(TEXT, CONFIG)


def recut(text: str, before: Sequence[Chunk] = BEFORE) -> tuple[Chunk, ...]:
    return cut(text, CONFIG, before=before)


def texts(chunks: Sequence[Chunk]) -> set[str]:
    return {one.text for one in chunks}


def sentences(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"[^ .][^.]*\.", text)]


def with_a_word_corrected(text: str, rng: random.Random) -> str:
    """One word for another of one to four tokens' length."""
    word = rng.choice(list(re.finditer(r"\w+", text)))
    other = " ".join(rng.choices(SYLLABLES, k=rng.randint(1, 4)))
    return text[: word.start()] + other + text[word.end() :]


def with_a_sentence_more(text: str, rng: random.Random) -> str:
    _, end = rng.choice(sentences(text))
    return f"{text[:end]} New {' '.join(rng.choices(SYLLABLES, k=14))}.{text[end:]}"


def with_sentences_less(text: str, rng: random.Random, *, count: int = 2) -> str:
    told = sentences(text)
    at = rng.randrange(len(told) - count)
    return text[: told[at][0]] + text[told[at + count][0] :]


def test_a_corrected_word_changes_its_own_passage_and_the_one_that_says_it_again() -> None:
    rng = random.Random(1)
    for _ in range(150):
        after = with_a_word_corrected(TEXT, rng)
        assert len(texts(recut(after)) - texts(BEFORE)) <= 2


def test_a_sentence_more_or_less_changes_no_passage_farther_on() -> None:
    rng = random.Random(2)
    for edit in (with_a_sentence_more, with_sentences_less):
        counts = [len(texts(recut(edit(TEXT, rng))) - texts(BEFORE)) for _ in range(40)]
        assert max(counts) <= 3
        assert sum(counts) / len(counts) <= 1.5


def test_corrections_all_over_the_text_change_only_what_they_touch() -> None:
    rng, after = random.Random(3), TEXT
    for _ in range(10):
        after = with_a_word_corrected(after, rng)
    assert len(texts(recut(after)) - texts(BEFORE)) <= 20


def test_ten_minutes_cut_out_change_no_passage_elsewhere() -> None:
    after = with_sentences_less(TEXT, random.Random(4), count=60)
    assert len(texts(recut(after)) - texts(BEFORE)) <= 3


def test_taking_a_correction_back_gives_the_passages_there_were() -> None:
    rng = random.Random(5)
    for edit in (with_a_word_corrected, with_a_sentence_more):
        for _ in range(40):
            assert texts(recut(TEXT, recut(edit(TEXT, rng)))) == texts(BEFORE)


def test_a_text_that_is_edited_all_the_time_keeps_passages_of_a_sensible_size() -> None:
    rng, text, chunks = random.Random(6), TEXT, BEFORE
    for _ in range(300):
        edit = rng.choice((with_a_word_corrected, with_a_sentence_more, with_sentences_less))
        text = edit(text, rng)
        chunks = recut(text, chunks)
    assert len(chunks) < 1.5 * len(cut(text, CONFIG))
    own = [after.char_end - before.char_end for before, after in pairwise(chunks)]
    assert min(own) > 0.3 * max(own)


def test_it_holds_for_speakers_who_take_turns() -> None:
    rng, config = random.Random(8), ChunkingConfig("segments", 120, 12, 24)
    text = "\n\n".join(prose(rng, rng.randint(10, 150)) for _ in range(30))
    before = cut(text, config, spans=turns(text))
    assert len(before) > 30
    for _ in range(60):
        after = with_a_word_corrected(text, rng)
        again = cut(after, config, spans=turns(after), before=before)
        assert len(texts(again) - texts(before)) <= 2


def turns(text: str) -> list[TimedSpan]:
    """A speaker a paragraph."""
    words = [len(paragraph.split()) for paragraph in text.split("\n\n")]
    return said(text, speakers="".join("AB"[i % 2] * count for i, count in enumerate(words)))


def test_it_holds_for_documents() -> None:
    rng, config = random.Random(8), ChunkingConfig("markdown", 120, 12, 24)
    text = "\n\n".join(f"## {rng.random()}\n\n{prose(rng, 300)}" for _ in range(12))
    before = cut(text, config)
    for _ in range(60):
        again = cut(with_a_word_corrected(text, rng), config, before=before)
        assert len(texts(again) - texts(before)) <= 2


def test_passages_of_another_text_are_no_hindrance() -> None:
    other = cut(prose(random.Random(9), 3_000), CONFIG)
    assert recut(TEXT, other) == BEFORE


def test_most_passages_of_a_text_like_another_are_the_same_without_knowing_the_other() -> None:
    rng = random.Random(10)
    counts = [
        len(texts(cut(with_a_sentence_more(TEXT, rng), CONFIG)) - texts(BEFORE)) for _ in range(20)
    ]
    assert sum(counts) / len(counts) <= 0.15 * len(BEFORE)
