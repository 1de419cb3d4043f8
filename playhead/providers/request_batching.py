"""Pack texts into requests up to the provider's limits: pure, in order, never over a limit.

Because of the order, the texts finished after each request are a prefix. A request is closed only
by a text that would exceed a limit, so it is at most one text short of it: with texts of at most
8,192 tokens a request of 300,000 is 97 % full, or has its 2,048 texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Maximum texts and tokens per request."""

    texts: int
    tokens: int


def pack_requests(sizes: Sequence[int], limits: RequestLimits) -> Iterator[range]:
    """Yield ranges of ``sizes`` (tokens per text), one per request.

    A text of more than ``limits.tokens`` gets a request of its own; the caller rejects it first.
    """
    start = tokens = 0
    for position, size in enumerate(sizes):
        full = position - start == limits.texts or tokens + size > limits.tokens
        if full and position > start:
            yield range(start, position)
            start, tokens = position, 0
        tokens += size
    if start < len(sizes):
        yield range(start, len(sizes))
