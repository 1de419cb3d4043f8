"""The cache of sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from playhead.core.protocols.embedder import Vectors
from playhead.search.sentence_cache import SentenceCache

_DIMENSIONS = 4


class CountingEmbedder:
    """Embeds a text as its length, and records the texts it embedded."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return np.array([[len(text)] * _DIMENSIONS for text in texts], np.float32)


def test_text_is_embedded_once_however_often_it_is_requested() -> None:
    cache, embedder = SentenceCache(), CountingEmbedder()
    first = cache.get_vectors(1, ["one", "three", "one"], embedder)
    again = cache.get_vectors(1, ["three", "seventeen"], embedder)
    assert embedder.embedded == ["one", "three", "seventeen"]
    assert first[:, 0].tolist() == [3, 5, 3]
    assert again[:, 0].tolist() == [5, 9]


def test_embedding_sets_do_not_share_vectors() -> None:
    cache, embedder = SentenceCache(), CountingEmbedder()
    cache.get_vectors(1, ["one"], embedder)
    cache.get_vectors(2, ["one"], embedder)
    assert embedder.embedded == ["one", "one"]


def test_least_recently_used_vector_is_evicted() -> None:
    cache, embedder = SentenceCache(2 * _DIMENSIONS * 4), CountingEmbedder()
    cache.get_vectors(1, ["a", "bb"], embedder)
    cache.get_vectors(1, ["a"], embedder)
    cache.get_vectors(1, ["ccc"], embedder)
    cache.get_vectors(1, ["a", "bb"], embedder)
    assert embedder.embedded == ["a", "bb", "ccc", "bb"]


def test_texts_over_the_cache_size_are_still_answered() -> None:
    embedder = CountingEmbedder()
    vectors = SentenceCache(0).get_vectors(1, ["a", "bb"], embedder)
    assert vectors[:, 0].tolist() == [1, 2]


def test_cache_is_thread_safe() -> None:
    cache, embedder = SentenceCache(50 * _DIMENSIONS * 4), CountingEmbedder()
    texts = ["x" * length for length in range(1, 100)]

    def get_part(start: int) -> bool:
        part = texts[start : start + 30]
        vectors = cache.get_vectors(1, part, embedder)[:, 0]
        return [*vectors] == [len(text) for text in part]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(get_part, [*range(70)] * 5))
