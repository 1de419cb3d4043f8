"""Locate the chunk boundaries of an earlier version of a text in its corrected version."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from playhead.core.records import ChunkSpan

#: Characters before or after a boundary that identify it. Shorter text may occur twice.
_CONTEXT = 64


def stable_boundaries(text: str, before: Sequence[ChunkSpan]) -> frozenset[int]:
    """Return the characters of ``text`` at which the chunks of ``before`` end now.

    ``before`` is in order. A boundary is found if the text before or after it is unchanged.
    """
    boundaries: set[int] = set()
    old_end, new_end = 0, 0
    for span, after in pairwise(before):
        boundary = _end(text, span, after, new_end, new_end + span.char_end - old_end)
        if boundary is not None:
            boundaries.add(boundary)
            old_end, new_end = span.char_end, boundary
    return frozenset(boundaries)


def _end(
    text: str, chunk_span: ChunkSpan, after: ChunkSpan, earliest: int, likely: int
) -> int | None:
    """Return where the chunk ends in the new text, or None if it is not found."""
    tail = chunk_span.text[-_CONTEXT:]
    if text.endswith(tail, 0, likely):
        return likely
    found = text.find(tail, earliest)
    if found >= 0:
        return found + len(tail)
    head = after.text[max(0, chunk_span.char_end - after.char_start) :].lstrip()[:_CONTEXT]
    found = text.find(head, earliest + 1)
    return len(text[:found].rstrip()) if found >= 0 else None
