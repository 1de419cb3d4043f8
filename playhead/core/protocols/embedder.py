"""The protocol of embedding models, as used by the pipeline and by search.

Adapters are in ``playhead/engines/embedding``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from playhead.core.records import Engine, Price

Vectors = NDArray[np.float32]

#: Texts per call of a local model. Vectors are stored after each call, so that a crash loses only
#: the calls in progress.
TEXTS_PER_CALL = 128


def by_count(texts: Sequence[str]) -> list[range]:
    """Return batches of ``TEXTS_PER_CALL`` texts for local models, whose calls are free."""
    starts = range(0, len(texts), TEXTS_PER_CALL)
    return [range(start, min(start + TEXTS_PER_CALL, len(texts))) for start in starts]


class Tokenizer(Protocol):
    """Tokenizer of an embedding model, without its special tokens."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Return ``(char_start, char_end)`` of every token of ``text``, in order.

        Characters between two tokens (mostly white space) belong to no token.
        """
        ...

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``."""
        ...


class Embedder(Protocol):
    """An engine that embeds texts as unit vectors."""

    @property
    def engine(self) -> Engine:
        """Return the engine's name, its model and its preprocessing version (``preprocessing``)."""
        ...

    @property
    def price(self) -> Price: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def window_tokens(self) -> int:
        """Return the maximum length of a text, in tokens of ``tokenizer``.

        Text beyond it would be ignored, so no chunk may be longer.
        """
        ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def tokens(self) -> str:
        """Return the name of the tokenizer: models with the same name share chunks."""
        ...

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        """Return the ranges of ``texts`` to pass to ``embed`` together, in order.

        The vectors of a batch are stored together. The batches cover all texts, and none is empty.
        """
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of ``texts``, of shape ``(len(texts), dimensions)``."""
        ...
