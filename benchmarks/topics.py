"""Vectors that lie as those of sentences do, as many as wanted: made, not embedded.

A mixture of 400 topics in 20 themes. A vector is its theme's direction, its topic's, a step within
the 30 directions that the topic varies in, the first of them most, and a little of everything; then
of length 1. The weights are those that came nearest to all-MiniLM-L6-v2 on 5,200 sentences of the
docstrings of Python's standard library: intrinsic dimension 15.2 (MiniLM 14.8; Levina and Bickel's
estimate with 20 neighbours), median likeness of the nearest 0.69 (0.65), of the tenth 0.48 (0.48),
of any two 0.07 (0.08), 99th percentile of any two 0.43 (0.39).

Not here: rows (``vectors_at_size.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSIONS = 384
TOPICS, _THEMES, _WAYS = 400, 20, 30
_ALL, _THEME, _TOPIC, _WITHIN, _NOISE = 0.4, 0.8, 0.5, 1.0, 0.4


class Topics:
    """The same topics for the same ``seed``."""

    def __init__(self, seed: int = 1) -> None:
        dice = np.random.default_rng(seed)
        themes = np.repeat(_directions(dice, _THEMES), TOPICS // _THEMES, axis=0)
        self._centres = _ALL * _directions(dice, 1) + _THEME * themes
        self._centres += _TOPIC * _directions(dice, TOPICS)
        steps = 1 / np.sqrt(np.arange(1, _WAYS + 1))
        ways = _directions(dice, TOPICS * _WAYS).reshape(TOPICS, _WAYS, DIMENSIONS)
        self._ways = _WITHIN * ways * (steps / np.linalg.norm(steps))[:, None].astype(np.float32)

    def draw(self, topics: NDArray[np.int64], dice: np.random.Generator) -> Vectors:
        """A vector of length 1 for each topic named."""
        made = self._centres[topics] + _NOISE * _directions(dice, len(topics))
        for topic in np.unique(topics):
            rows = topics == topic
            steps = dice.standard_normal((int(rows.sum()), _WAYS), dtype=np.float32)
            made[rows] += steps @ self._ways[topic]
        unit: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
        return unit


def _directions(dice: np.random.Generator, count: int) -> Vectors:
    """Of length about 1."""
    drawn = dice.standard_normal((count, DIMENSIONS), dtype=np.float32)
    made: Vectors = drawn / np.float32(np.sqrt(DIMENSIONS))
    return made
