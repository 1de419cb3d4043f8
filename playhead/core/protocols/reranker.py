"""What search asks of any reranker. Adapters live beside this file.

A reranker reads the question and the best passages together, which is dearer than any index and
tells more. Not here: finding passages (``playhead/postgres/search/chunk_search.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class QueryContext(Protocol):
    """A question, and how near it is to any text."""

    @property
    def text(self) -> str: ...

    def closeness(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """The cosine of each text to the question; None where no model is at hand."""
        ...


class Reranker(Protocol):
    """How well each of some passages answers a question."""

    @property
    def depth(self) -> int:
        """How many of the best passages it reads; the others stay behind them, as they were."""
        ...

    def scores(
        self, question: QueryContext, passages: Sequence[Sequence[str]]
    ) -> Sequence[float] | NDArray[np.float32]:
        """A number a passage, the higher the better, to be compared within one call alone. A
        passage is given as its sentences, at least one."""
        ...
