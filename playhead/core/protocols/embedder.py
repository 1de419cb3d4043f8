"""What the pipeline and search ask of any embedding model. Adapters live beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from playhead.core.records import Engine, Price

Vectors = NDArray[np.float32]

#: Texts embedded together on this machine, and kept as soon as they are made: a crash costs the
#: calls under way.
TEXTS_PER_CALL = 128


def by_count(texts: Sequence[str]) -> list[range]:
    """Batches of ``TEXTS_A_CALL``: of models on this machine, whose calls cost nothing."""
    starts = range(0, len(texts), TEXTS_PER_CALL)
    return [range(start, min(start + TEXTS_PER_CALL, len(texts))) for start in starts]


class Tokenizer(Protocol):
    """The embedding model's own tokens, without its special ones."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """``(char_start, char_end)`` of every token of ``text``, in order. Characters between
        two tokens (white space, mostly) belong to none."""
        ...

    def count(self, text: str) -> int:
        """How many tokens ``text`` has."""
        ...


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def engine(self) -> Engine:
        """Name, model and what was done to the text before (``preprocessing``)."""
        ...

    @property
    def price(self) -> Price: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def window_tokens(self) -> int:
        """The longest text it reads, in tokens of ``tokenizer``; what is beyond is ignored,
        so no chunk may be longer."""
        ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def tokens(self) -> str:
        """Whose tokens these are: models that count alike share chunks."""
        ...

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        """Which of ``texts`` to hand to ``embed`` together, in order: what is kept at once. No
        text is left out, and no batch is empty."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, ``(len(texts), dimensions)``, each of length 1."""
        ...
