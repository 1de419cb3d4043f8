"""The protocol of rerankers, as used by search.

A reranker reads the question and the best chunks together, which is slower than any index and more
accurate. Adapters are in ``playhead/engines/reranking``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class QueryContext(Protocol):
    """A question, and the similarity of texts to it."""

    @property
    def text(self) -> str: ...

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the cosine of each text to the question, or None without a model."""
        ...


class Reranker(Protocol):
    """An engine that scores how well chunks answer a question."""

    @property
    def depth(self) -> int:
        """Return the number of best chunks that it scores; the others follow in their old order."""
        ...

    def scores(
        self, question: QueryContext, passages: Sequence[Sequence[str]]
    ) -> Sequence[float] | NDArray[np.float32]:
        """Return a score per chunk; higher is better.

        Scores are comparable only within one call. Each chunk is given as its sentences, at least
        one.
        """
        ...
