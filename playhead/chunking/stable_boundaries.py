"""Which cuts of a text are still in it after it was corrected.

Here: passages as they were in, places of the text as it is out. Not here: whether a chunk can
end there (``packing.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from playhead.core.records import ChunkSpan

#: Characters before or behind a cut by which it is known again. Less may be said twice.
_CONTEXT = 64


def stable_boundaries(text: str, before: Sequence[ChunkSpan]) -> frozenset[int]:
    """The characters of ``text`` at which passages of it end that were cut ``before``, in
    order, wherever what stood before the cut or what stood behind it is still there."""
    kept: set[int] = set()
    was, now = 0, 0
    for one, after in pairwise(before):
        end = _end(text, one, after, now, now + one.char_end - was)
        if end is not None:
            kept.add(end)
            was, now = one.char_end, end
    return frozenset(kept)


def _end(text: str, one: ChunkSpan, after: ChunkSpan, earliest: int, likely: int) -> int | None:
    """Where the passage ``one`` ends now."""
    tail = one.text[-_CONTEXT:]
    if text.endswith(tail, 0, likely):
        return likely
    found = text.find(tail, earliest)
    if found >= 0:
        return found + len(tail)
    head = after.text[max(0, one.char_end - after.char_start) :].lstrip()[:_CONTEXT]
    found = text.find(head, earliest + 1)
    return len(text[:found].rstrip()) if found >= 0 else None
