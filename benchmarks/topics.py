"""Synthetic vectors distributed like those of sentences, without an embedder.

A mixture of 400 topics in 20 themes. A vector is its theme's direction, its topic's, a step within
the 30 directions in which the topic varies, the first of them most, and some noise; then normalized
to length 1. The weights are those that came nearest to all-MiniLM-L6-v2 on 5,200 sentences of the
docstrings of Python's standard library: intrinsic dimension 15.2 (MiniLM 14.8; Levina and Bickel's
estimate with 20 neighbours), median similarity of the nearest 0.69 (0.65), of the tenth 0.48
(0.48), of any two 0.07 (0.08), 99th percentile of any two 0.43 (0.39).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSIONS = 384
TOPICS, _THEMES, _STEPS = 400, 20, 30
_ALL, _THEME, _TOPIC, _WITHIN, _NOISE = 0.4, 0.8, 0.5, 1.0, 0.4


class Topics:
    """The same topics for the same ``seed``."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        themes = np.repeat(_directions(rng, _THEMES), TOPICS // _THEMES, axis=0)
        self._centres = _ALL * _directions(rng, 1) + _THEME * themes
        self._centres += _TOPIC * _directions(rng, TOPICS)
        steps = 1 / np.sqrt(np.arange(1, _STEPS + 1))
        directions = _directions(rng, TOPICS * _STEPS).reshape(TOPICS, _STEPS, DIMENSIONS)
        self._steps = (
            _WITHIN * directions * (steps / np.linalg.norm(steps))[:, None].astype(np.float32)
        )

    def draw(self, topics: NDArray[np.int64], rng: np.random.Generator) -> Vectors:
        """Return a vector of length 1 for each topic."""
        vectors = self._centres[topics] + _NOISE * _directions(rng, len(topics))
        for topic in np.unique(topics):
            rows = topics == topic
            steps = rng.standard_normal((int(rows.sum()), _STEPS), dtype=np.float32)
            vectors[rows] += steps @ self._steps[topic]
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def _directions(rng: np.random.Generator, count: int) -> Vectors:
    """Return vectors of length about 1."""
    values = rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    vectors: Vectors = values / np.float32(np.sqrt(DIMENSIONS))
    return vectors
