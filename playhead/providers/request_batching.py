"""Requests filled to what a provider takes: pure, in order, never over a limit.

In order, so that what is kept after each request is a beginning. A request is closed only by a
text that would break a limit, so it is at most one text short of it: with texts of at most 8,192
tokens a request of 300,000 is 97 % full, or has its 2,048 texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Of one request."""

    texts: int
    tokens: int


def pack_requests(sizes: Sequence[int], limits: RequestLimits) -> Iterator[range]:
    """Ranges of ``sizes`` (tokens a text), each a request. A text of more than ``limits.tokens``
    is one alone: whoever sends it refuses it first."""
    start = tokens = 0
    for position, size in enumerate(sizes):
        full = position - start == limits.texts or tokens + size > limits.tokens
        if full and position > start:
            yield range(start, position)
            start, tokens = position, 0
        tokens += size
    if start < len(sizes):
        yield range(start, len(sizes))
