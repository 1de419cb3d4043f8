"""A question, and what it is near to: embedded by the model of the set that is searched.

Not here: finding passages (``search.py``), choosing the moment (``moments.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.embedding.protocol import Embedder
from resources.engines import Embedders
from resources.errors import (
    ModelUnavailable,
    NotAProvider,
    Parked,
    ProviderUnavailable,
    ReplyNotBelieved,
)
from resources.postgres.sets import EmbeddingSet

Vector = NDArray[np.float32]

#: A question is answered all the same, by words.
NOT_NOW = (ModelUnavailable, NotAProvider, Parked, ProviderUnavailable, ReplyNotBelieved)


@dataclass(frozen=True, slots=True)
class Question:
    """``vector`` is None where the set's model cannot be had; ``note`` says so."""

    text: str
    embedder: Embedder | None
    vector: Vector | None
    note: str | None = None

    def closeness(self, texts: Sequence[str]) -> Vector | None:
        """The cosine of each text to the question."""
        if self.embedder is None or self.vector is None:
            return None
        try:
            near: Vector = _embed(self.embedder, texts) @ self.vector
        except NOT_NOW:
            return None
        return near


def ask(text: str, searched: EmbeddingSet, embedders: Embedders) -> Question:
    """The question for this set, or without a vector where nobody here speaks its model, or its
    provider does not answer now."""
    try:
        embedder = embedders.of(searched)
        return Question(text, embedder, _embed(embedder, [text])[0])
    except NOT_NOW as error:
        return Question(text, None, None, f"Searched by words alone. {error} {error.remedy}")


def _embed(embedder: Embedder, texts: Sequence[str]) -> Vector:
    return embedder.embed([_within_window(embedder, text) for text in texts])


def _within_window(embedder: Embedder, text: str) -> str:
    """A question may be longer than the model reads; its beginning tells most."""
    tokens = embedder.tokenizer.offsets(text)
    window = embedder.window_tokens
    return text[: tokens[window][0]] if len(tokens) > window else text
