"""Stable chunk boundaries: only the chunks that were edited change."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import pairwise

from playhead.chunking.chunker import ChunkingConfig
from playhead.core.records import Chunk, TimedSpan
from tests.unit.chunking_strategies import SYLLABLES, make_spans, prose, split

TEXT = prose(random.Random(7), 10_000)
CONFIG = ChunkingConfig("text")


BEFORE = split(TEXT, CONFIG)


def split_again(text: str, before: Sequence[Chunk] = BEFORE) -> tuple[Chunk, ...]:
    return split(text, CONFIG, before=before)


def texts(chunks: Sequence[Chunk]) -> set[str]:
    return {chunk.text for chunk in chunks}


def sentences(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"[^ .][^.]*\.", text)]


def replace_word(text: str, rng: random.Random) -> str:
    """Replace a random word by another of one to four syllables."""
    word = rng.choice(list(re.finditer(r"\w+", text)))
    other = " ".join(rng.choices(SYLLABLES, k=rng.randint(1, 4)))
    return text[: word.start()] + other + text[word.end() :]


def add_sentence(text: str, rng: random.Random) -> str:
    _, end = rng.choice(sentences(text))
    return f"{text[:end]} New {' '.join(rng.choices(SYLLABLES, k=14))}.{text[end:]}"


def remove_sentences(text: str, rng: random.Random, *, count: int = 2) -> str:
    ranges = sentences(text)
    at = rng.randrange(len(ranges) - count)
    return text[: ranges[at][0]] + text[ranges[at + count][0] :]


def test_corrected_word_changes_its_chunk_and_the_overlapping_one() -> None:
    rng = random.Random(1)
    for _ in range(150):
        after = replace_word(TEXT, rng)
        assert len(texts(split_again(after)) - texts(BEFORE)) <= 2


def test_added_or_removed_sentence_changes_no_later_chunk() -> None:
    rng = random.Random(2)
    for edit in (add_sentence, remove_sentences):
        counts = [len(texts(split_again(edit(TEXT, rng))) - texts(BEFORE)) for _ in range(40)]
        assert max(counts) <= 3
        assert sum(counts) / len(counts) <= 1.5


def test_many_corrections_change_only_the_chunks_they_touch() -> None:
    rng, after = random.Random(3), TEXT
    for _ in range(10):
        after = replace_word(after, rng)
    assert len(texts(split_again(after)) - texts(BEFORE)) <= 20


def test_ten_removed_minutes_change_no_other_chunk() -> None:
    after = remove_sentences(TEXT, random.Random(4), count=60)
    assert len(texts(split_again(after)) - texts(BEFORE)) <= 3


def test_reverted_correction_restores_the_chunks() -> None:
    rng = random.Random(5)
    for edit in (replace_word, add_sentence):
        for _ in range(40):
            assert texts(split_again(TEXT, split_again(edit(TEXT, rng)))) == texts(BEFORE)


def test_text_with_many_edits_keeps_reasonable_chunk_sizes() -> None:
    rng, text, chunks = random.Random(6), TEXT, BEFORE
    for _ in range(300):
        edit = rng.choice((replace_word, add_sentence, remove_sentences))
        text = edit(text, rng)
        chunks = split_again(text, chunks)
    assert len(chunks) < 1.5 * len(split(text, CONFIG))
    lengths = [after.char_end - before.char_end for before, after in pairwise(chunks)]
    assert min(lengths) > 0.3 * max(lengths)


def test_chunks_of_alternating_speakers_are_stable() -> None:
    rng, config = random.Random(8), ChunkingConfig("segments", 120, 12, 24)
    text = "\n\n".join(prose(rng, rng.randint(10, 150)) for _ in range(30))
    before = split(text, config, spans=paragraph_spans(text))
    assert len(before) > 30
    for _ in range(60):
        after = replace_word(text, rng)
        again = split(after, config, spans=paragraph_spans(after), before=before)
        assert len(texts(again) - texts(before)) <= 2


def paragraph_spans(text: str) -> list[TimedSpan]:
    """Return spans in which every paragraph has another speaker than the previous one."""
    words = [len(paragraph.split()) for paragraph in text.split("\n\n")]
    return make_spans(text, speakers="".join("AB"[i % 2] * count for i, count in enumerate(words)))


def test_chunks_of_documents_are_stable() -> None:
    rng, config = random.Random(8), ChunkingConfig("markdown", 120, 12, 24)
    text = "\n\n".join(f"## {rng.random()}\n\n{prose(rng, 300)}" for _ in range(12))
    before = split(text, config)
    for _ in range(60):
        again = split(replace_word(text, rng), config, before=before)
        assert len(texts(again) - texts(before)) <= 2


def test_chunks_of_another_text_have_no_effect() -> None:
    other = split(prose(random.Random(9), 3_000), CONFIG)
    assert split_again(TEXT, other) == BEFORE


def test_most_chunks_of_a_similar_text_are_equal_without_the_previous_chunks() -> None:
    rng = random.Random(10)
    counts = [len(texts(split(add_sentence(TEXT, rng), CONFIG)) - texts(BEFORE)) for _ in range(20)]
    assert sum(counts) / len(counts) <= 0.15 * len(BEFORE)
