"""The embedder of this benchmark: deterministic, in the process, almost free.

A vector is drawn by the text's hash and the model's name: equal for equal texts, without any
similarity between the models. It counts its calls and texts.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence

import numpy as np

from playhead.core.protocols.embedder import Vectors, by_count
from playhead.core.records import FREE, Engine
from playhead.engines.embedding.stub import WordTokenizer

DIMENSIONS = 384
_STEPS = np.arange(1, DIMENSIONS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


class HashEmbedder:
    """Counts ``calls`` and ``texts``; ``model`` is "A" or "B"."""

    dimensions = DIMENSIONS
    window_tokens = 512
    tokenizer = WordTokenizer()
    tokens = "words"
    price = FREE

    def __init__(self, model: str) -> None:
        self.engine = Engine("hash", model)
        self.calls = 0
        self.texts = 0

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        return by_count(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        self.texts += len(texts)
        key = self.engine.model.encode()
        digests = (hashlib.blake2b(text.encode(), digest_size=8, key=key) for text in texts)
        seeds = np.array([int.from_bytes(digest.digest()) for digest in digests], np.uint64)
        return _draw(seeds)


class DoomedEmbedder(HashEmbedder):
    """Kills its process (-9) instead of embedding the ``last``-th text."""

    def __init__(self, model: str, *, last: int) -> None:
        super().__init__(model)
        self._last = last

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.texts + len(texts) >= self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(texts)


def _draw(seeds: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Vectors:
    """Return unit rows, ``(len(seeds), DIMENSIONS)``.

    They are the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014) over each seed's own
    sequence.
    """
    values = seeds[:, None] + _STEPS
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    vectors: Vectors = (values >> np.uint64(40)).astype(np.float32) - np.float32(2**23)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
