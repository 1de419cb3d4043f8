"""Checks shared by all embedding adapters: no token ignored, and only unit vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from playhead.core.errors import InvalidEngineOutput, PermanentError
from playhead.core.protocols.embedder import Vectors


def require_within_window(token_counts: Sequence[int], window_tokens: int) -> None:
    """Raise ``PermanentError`` if a text has more tokens than the model reads.

    Otherwise the text beyond the window would be ignored silently.
    """
    for position, tokens in enumerate(token_counts):
        if tokens > window_tokens:
            raise PermanentError(
                f"Text {position} has {tokens} tokens; the maximum of the embedding model is "
                f"{window_tokens}.",
                remedy="Split it first, at a token boundary of the embedder's tokenizer.offsets.",
            )


def require_unit_rows(vectors: Vectors, *, dimensions: int) -> Vectors:
    """Return ``vectors`` with each row divided by its length.

    ``vectors`` has the shape ``(n, dimensions)``; n may be 0. Raises ``InvalidEngineOutput`` for
    another shape, or a row that is zero or not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimensions:
        raise InvalidEngineOutput(
            f"The embedding model returned an array of {vectors.shape}, not {dimensions} columns.",
            remedy="Check that the model's files belong together, then embed again.",
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise InvalidEngineOutput(
            "The embedding model returned a vector that is zero or not a number.",
            remedy="Check the model's files, and report the text that causes this.",
        )
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit
