"""A sentence that was read lately is not embedded again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from playhead.core.protocols.embedder import Vectors
from playhead.search.sentence_cache import SentenceCache

_DIMENSIONS = 4


class Reader:
    """Embeds a text as its length, and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return np.array([[len(text)] * _DIMENSIONS for text in texts], np.float32)


def test_each_text_is_embedded_once_whoever_asks_and_how_often() -> None:
    memory, reader = SentenceCache(), Reader()
    first = memory.get_vectors(1, ["one", "three", "one"], reader)
    again = memory.get_vectors(1, ["three", "seventeen"], reader)
    assert reader.asked == ["one", "three", "seventeen"]
    assert first[:, 0].tolist() == [3, 5, 3]
    assert again[:, 0].tolist() == [5, 9]


def test_another_sets_vectors_are_its_own() -> None:
    memory, reader = SentenceCache(), Reader()
    memory.get_vectors(1, ["one"], reader)
    memory.get_vectors(2, ["one"], reader)
    assert reader.asked == ["one", "one"]


def test_what_was_read_longest_ago_makes_room() -> None:
    memory, reader = SentenceCache(most_bytes=2 * _DIMENSIONS * 4), Reader()
    memory.get_vectors(1, ["a", "bb"], reader)
    memory.get_vectors(1, ["a"], reader)
    memory.get_vectors(1, ["ccc"], reader)
    memory.get_vectors(1, ["a", "bb"], reader)
    assert reader.asked == ["a", "bb", "ccc", "bb"]


def test_more_than_it_holds_is_answered_all_the_same() -> None:
    reader = Reader()
    told = SentenceCache(most_bytes=0).get_vectors(1, ["a", "bb"], reader)
    assert told[:, 0].tolist() == [1, 2]


def test_it_may_be_shared_by_threads() -> None:
    memory, reader = SentenceCache(most_bytes=50 * _DIMENSIONS * 4), Reader()
    texts = ["x" * length for length in range(1, 100)]

    def read(start: int) -> bool:
        some = texts[start : start + 30]
        told = memory.get_vectors(1, some, reader)[:, 0]
        return [*told] == [len(text) for text in some]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, [*range(70)] * 5))
