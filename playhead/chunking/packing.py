"""Pack units into chunks, with stable boundaries and overlap between chunks.

Filling each chunk completely would move every later boundary when one sentence grows. So an earlier
boundary is reused as long as the text between two such boundaries fits a chunk and is not too small
for one. Text that does not fit any more is split into two of about the same size, text that is too
small is merged with what follows, like the pages of a B-tree (Bayer and McCreight, "Organization
and maintenance of large ordered indices", 1972).

A text without an earlier version (a page that was crawled again, an edited talk that was uploaded
anew) may still resemble another whose vectors are stored. So a new boundary is chosen by the text
after it: of the places where a chunk is nearly full, the one whose following text has the smallest
checksum. Two versions that were split differently mostly reach the same boundary again. The idea is
content-defined chunking (Muthitacharoen et al., "A low-bandwidth network file system", 2001), with
a window in place of a threshold.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence, Set
from itertools import accumulate

from playhead.chunking.units import GRAPHEMES, WORDS, Boundary, TokenCounter, Unit
from playhead.core.sentences import Range

#: Minimum fill of a new chunk, as a share of its maximum size, if sentences allow it.
TARGET_FILL = 0.85

#: Share of its size that a new chunk leaves free, so that a corrected word seldom makes it too
#: long: 15 of 500 tokens, 7 of 254.
SLACK = 0.03

#: Characters after a boundary that choose it. With more, edits hit them more often (decision 8).
BOUNDARY_HASH_CHARS = 12


def pack(
    units: Sequence[Unit],
    counter: TokenCounter,
    *,
    overlap: int,
    minimum: int,
    boundaries: Set[int] = frozenset(),
) -> list[Range]:
    """Return the ranges of the chunks, in order and without white space at their ends.

    The ranges cover every unit. Each has at most the counter's ``size`` tokens and begins with at
    most ``overlap`` tokens of the previous one. The last has at least ``minimum`` tokens of its own
    where possible. ``boundaries`` are the characters at which a chunk should end if it has at least
    ``minimum`` tokens and not too many.
    """
    if not units:
        return []
    packer = _Packer(units, counter, overlap, minimum, boundaries)
    return packer.with_overlap(packer.cuts())


class _Packer:
    def __init__(
        self,
        units: Sequence[Unit],
        counter: TokenCounter,
        overlap: int,
        minimum: int,
        boundaries: Set[int],
    ) -> None:
        self.units = units
        self.counter = counter
        self.overlap = overlap
        self.minimum = minimum
        self.totals = list(accumulate((unit.tokens for unit in units), initial=0))
        self.hard_breaks = [i for i, unit in enumerate(units) if unit.starts_new_chunk]
        self.boundaries = [i for i, unit in enumerate(units, start=1) if unit.end in boundaries]

    def cuts(self) -> list[int]:
        """Return the index of the first unit of each chunk, and ``len(units)``."""
        cuts = [0]
        while cuts[-1] < len(self.units):
            cuts.append(self._next_cut(cuts[-1]))
        return self._balance_last_two(cuts)

    def _next_cut(self, first: int) -> int:
        cut = self._best_cut(first)
        while cut > first + 1 and self._tokens(first, cut) > self.counter.size:
            cut -= 1  # a slice may be more tokens than its parts
        return cut

    def _best_cut(self, first: int) -> int:
        begins_alone = first == 0 or self.units[first].starts_new_chunk
        max_tokens = self.counter.size - (0 if begins_alone else self.overlap)
        stop = self._stop(first)
        last = bisect_right(self.totals, self.totals[first] + max_tokens) - 1
        last = min(max(last, first + 1), stop)
        speaker_turn = self._first_turn(first, last)
        if speaker_turn is not None:
            return speaker_turn
        if last == stop:
            return last
        boundary = _first_from(self.boundaries, self._enough(first), stop)
        return (
            boundary
            if boundary <= last
            else self._new_cut(first, last, max_tokens, min(boundary, stop))
        )

    def _new_cut(self, first: int, last: int, max_tokens: int, next_boundary: int) -> int:
        """Choose a new boundary where a chunk of ``max_tokens`` tokens is nearly full.

        If this chunk and the next together reach ``next_boundary``, where the next must end, the
        two are balanced. A chunk may be only half full if that is the only way to keep a sentence
        whole.
        """
        upper_limit = min(
            max_tokens - int(SLACK * self.counter.size),
            self._sum(first, next_boundary) / (1 + TARGET_FILL),
        )
        low = min(self._enough(first), last)
        high = max(low, min(bisect_right(self.totals, self.totals[first] + upper_limit) - 1, last))
        full = min(self._place(first, TARGET_FILL * upper_limit), high)
        half = min(max(self._place(first, upper_limit / 2), low), high)

        def rank(place: int) -> tuple[Boundary, int, int, int]:
            return (
                self.units[place].boundary,
                max(0, full - place),
                self._boundary_rank(place),
                -place,
            )

        return min(range(half, high + 1), key=rank)

    def _place(self, first: int, tokens: float) -> int:
        """Return the first boundary that gives a chunk from ``first`` at least ``tokens``."""
        return bisect_left(self.totals, self.totals[first] + tokens)

    def _enough(self, first: int) -> int:
        """Return the first boundary that gives a chunk from ``first`` its minimum and a unit."""
        return max(self._place(first, self.minimum), first + 1)

    def _stop(self, first: int) -> int:
        """Return where a chunk from ``first`` must end at the latest, whatever its size."""
        return _first_from(self.hard_breaks, first + 1, len(self.units))

    def _first_turn(self, first: int, last: int) -> int | None:
        """Return the first speaker turn that gives the chunk ``minimum`` tokens, or None."""
        places = range(self._enough(first), min(last + 1, len(self.units)))
        return next((i for i in places if self.units[i].boundary is Boundary.TURN), None)

    def _boundary_rank(self, place: int) -> int:
        unit = self.units[place]
        following = self.counter.text[unit.start : unit.start + BOUNDARY_HASH_CHARS]
        return zlib.crc32(following.encode("utf-8", "surrogatepass"))

    def _balance_last_two(self, cuts: list[int]) -> list[int]:
        """Merge a last chunk under ``minimum`` with the previous one, or balance both."""
        if len(cuts) < 3 or self.units[cuts[-2]].starts_new_chunk:
            return cuts
        *rest, first, cut, end = cuts
        if self._sum(cut, end) >= self.minimum:
            return cuts
        if self._tokens(first, end) <= self.counter.size:
            return [*rest, first, end]
        balanced = min(range(first + 1, end), key=lambda place: self._imbalance(first, place, end))
        fits = max(self._tokens(first, balanced), self._tokens(balanced, end)) <= self.counter.size
        return [*rest, first, balanced if fits else cut, end]

    def _imbalance(self, first: int, place: int, end: int) -> tuple[int, Boundary, int]:
        before, after = self._sum(first, place), self._sum(place, end)
        missing = max(0, self.minimum - min(before, after))
        return missing, self.units[place].boundary, abs(before - after)

    def with_overlap(self, cuts: Sequence[int]) -> list[Range]:
        """Return the ranges between boundaries, extended by the overlap before each."""
        ranges = []
        for previous, first, end in zip([0, *cuts], cuts, cuts[1:], strict=False):
            start = self._overlap_start(previous, first, end)
            ranges.append((start, self.units[end - 1].end))
        return ranges

    def _overlap_start(self, previous: int, first: int, end: int) -> int:
        allowance = min(self.overlap, self.counter.size - self._sum(first, end))
        if first > previous and allowance > 0 and not self.units[first].starts_new_chunk:
            for start in self._overlap_starts(previous, first, allowance):
                shared = self.counter.count(start, self.units[first - 1].end)
                total = self.counter.count(start, self.units[end - 1].end)
                if shared <= allowance and total <= self.counter.size:
                    return start
        return self.units[first].start

    def _overlap_starts(self, previous: int, first: int, allowance: int) -> Iterator[int]:
        """Yield where the overlap may begin, longest first.

        It begins with a whole unit, else with a word of the last unit, and never contains the whole
        previous chunk.
        """
        unit = bisect_left(self.totals, self.totals[first] - allowance)
        yield from (self.units[i].start for i in range(max(unit, previous + 1), first))
        yield from self._starts_inside(self.units[first - 1], allowance)

    def _starts_inside(self, unit: Unit, allowance: int) -> list[int]:
        """Return word starts that are at most ``allowance`` tokens from the unit's end.

        Returns graphemes if words are so long that they would leave half of the allowance unused.
        """
        text = self.counter.text
        tokens = [
            unit.start + a for a, _ in self.counter.tokenizer.offsets(text[unit.start : unit.end])
        ]
        earliest = max([unit.start + 1, *tokens[-allowance:][:1]])
        half = max([unit.start + 1, *tokens[-(allowance // 2 + 1) :][:1]])
        words, graphemes = (
            [m.start() for m in pattern.finditer(text, unit.start, unit.end)]
            for pattern in (WORDS, GRAPHEMES)
        )
        words = [start for start in words if start >= earliest]
        if words and words[0] <= half:
            return words
        return [start for start in graphemes if start >= earliest and not text[start].isspace()]

    def _sum(self, first: int, end: int) -> int:
        return self.totals[end] - self.totals[first]

    def _tokens(self, first: int, end: int) -> int:
        return self.counter.count(self.units[first].start, self.units[end - 1].end)


def _first_from(places: Sequence[int], place: int, otherwise: int) -> int:
    """Return the first of the ordered ``places`` not before ``place``, else ``otherwise``."""
    at = bisect_left(places, place)
    return places[at] if at < len(places) else otherwise
