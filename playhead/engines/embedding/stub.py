"""An embedder that takes no time, for benchmarks of the pipeline itself and tests of flow.

Every word has its own direction, so that texts with common words are similar. It implements the
same protocol as the real embedders; it is unsuitable for real search.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from playhead.core.protocols.embedder import Vectors, by_count
from playhead.core.records import FREE, Engine

_TOKEN = re.compile(r"\S+")


class WordTokenizer:
    """Tokenizer that splits at white space."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        return [match.span() for match in _TOKEN.finditer(text)]

    def count(self, text: str) -> int:
        return len(text.split())


class StubEmbedder:
    """Embedder that returns hashed bags of words as unit vectors."""

    price = FREE
    engine = Engine(name="stub", model="stub-1")
    dimensions = 64
    window_tokens = 512
    tokenizer = WordTokenizer()
    tokens = "words"

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        return by_count(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[0] = 1e-3  # a text without words still has a direction
            for word in _TOKEN.findall(text.lower()):
                row[zlib.crc32(word.encode("utf-8", "surrogatepass")) % self.dimensions] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
