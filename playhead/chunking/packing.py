"""Which units share a chunk: cuts that stay where they were, and the overlap between chunks.

Here: units in, character ranges out. Not here: how text becomes units (``units.py``), what
a strategy takes for a unit (``chunking.py``), which cuts of an earlier version of the text are
still in it (``keeping.py``).

Filling each chunk to the brim would move every later cut when one sentence grows. So a cut that
was stays as long as what lies between two such cuts fits a chunk and is not too small for one.
What does not fit any more is cut in two of about one size, what is too small joins what follows, as
the pages of a B-tree do (Bayer and McCreight, "Organization and maintenance of large ordered
indices", 1972).

A text without an earlier version (a page that was crawled again, an edited talk uploaded anew) may
still be like another whose vectors are known. So a new cut is chosen by what stands behind it: of
the places where a chunk is nearly full, the one whose following text has the smallest checksum.
Two versions that were cut differently mostly find the same one in the end. The idea is
content-defined chunking (Muthitacharoen et al., "A low-bandwidth network file system", 2001),
with a window in place of a threshold.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence, Set
from itertools import accumulate

from playhead.chunking.units import GRAPHEMES, WORDS, Boundary, TokenCounter, Unit
from playhead.core.sentences import Range

#: A new chunk is at least this full, of what it may be, where sentences allow it.
TARGET_FILL = 0.85

#: What of its size a new chunk leaves free, so that a corrected word seldom makes it too long: of
#: 500 tokens 15, of 254 seven.
SLACK = 0.03

#: Characters behind a cut that choose it. Longer: edits hit them more often (decision 8).
BOUNDARY_HASH_CHARS = 12


def pack(
    units: Sequence[Unit],
    ruler: TokenCounter,
    *,
    overlap: int,
    minimum: int,
    kept: Set[int] = frozenset(),
) -> list[Range]:
    """Trimmed ranges of the text, in order, that hold every unit: each of at most
    ``ruler.size`` tokens, each beginning with at most ``overlap`` tokens of the one before.
    The last has at least ``minimum`` tokens of its own where that can be. ``kept``: characters
    at which a chunk ends where it has ``minimum`` tokens and not too many."""
    if not units:
        return []
    packer = _Packer(units, ruler, overlap, minimum, kept)
    return packer.with_overlap(packer.cuts())


class _Packer:
    def __init__(
        self, units: Sequence[Unit], ruler: TokenCounter, overlap: int, minimum: int, kept: Set[int]
    ) -> None:
        self.units = units
        self.ruler = ruler
        self.overlap = overlap
        self.minimum = minimum
        self.totals = list(accumulate((unit.tokens for unit in units), initial=0))
        self.seams = [i for i, unit in enumerate(units) if unit.starts_new_chunk]
        self.kept = [i for i, unit in enumerate(units, start=1) if unit.end in kept]

    def cuts(self) -> list[int]:
        """Indices of the first unit of each chunk, and ``len(units)``."""
        cuts = [0]
        while cuts[-1] < len(self.units):
            cuts.append(self._next_cut(cuts[-1]))
        return self._balance_last_two(cuts)

    def _next_cut(self, first: int) -> int:
        cut = self._best_cut(first)
        while cut > first + 1 and self._tokens(first, cut) > self.ruler.size:
            cut -= 1  # a slice may be more tokens than its parts
        return cut

    def _best_cut(self, first: int) -> int:
        begins_alone = first == 0 or self.units[first].starts_new_chunk
        room = self.ruler.size - (0 if begins_alone else self.overlap)
        stop = self._stop(first)
        last = bisect_right(self.totals, self.totals[first] + room) - 1
        last = min(max(last, first + 1), stop)
        turn = self._first_turn(first, last)
        if turn is not None:
            return turn
        if last == stop:
            return last
        kept = _first_from(self.kept, self._enough(first), stop)
        return kept if kept <= last else self._new_cut(first, last, room, min(kept, stop))

    def _new_cut(self, first: int, last: int, room: int, ahead: int) -> int:
        """Where a chunk of ``room`` tokens is nearly full; where it is about as full as the next
        if the two reach ``ahead``, the place where that must end. From half full on where only
        so a sentence stays whole."""
        most = min(room - int(SLACK * self.ruler.size), self._sum(first, ahead) / (1 + TARGET_FILL))
        low = min(self._enough(first), last)
        high = max(low, min(bisect_right(self.totals, self.totals[first] + most) - 1, last))
        full = min(self._place(first, TARGET_FILL * most), high)
        half = min(max(self._place(first, most / 2), low), high)

        def rank(place: int) -> tuple[Boundary, int, int, int]:
            return (
                self.units[place].boundary,
                max(0, full - place),
                self._boundary_rank(place),
                -place,
            )

        return min(range(half, high + 1), key=rank)

    def _place(self, first: int, tokens: float) -> int:
        """The first place that leaves a chunk from ``first`` so many tokens."""
        return bisect_left(self.totals, self.totals[first] + tokens)

    def _enough(self, first: int) -> int:
        """The first place that leaves a chunk from ``first`` its minimum, and a unit."""
        return max(self._place(first, self.minimum), first + 1)

    def _stop(self, first: int) -> int:
        """Where a chunk from ``first`` must end at the latest, whatever its size."""
        return _first_from(self.seams, first + 1, len(self.units))

    def _first_turn(self, first: int, last: int) -> int | None:
        """The first turn that leaves the chunk at least ``minimum`` tokens, if any."""
        places = range(self._enough(first), min(last + 1, len(self.units)))
        return next((i for i in places if self.units[i].boundary is Boundary.TURN), None)

    def _boundary_rank(self, place: int) -> int:
        unit = self.units[place]
        behind = self.ruler.text[unit.start : unit.start + BOUNDARY_HASH_CHARS]
        return zlib.crc32(behind.encode("utf-8", "surrogatepass"))

    def _balance_last_two(self, cuts: list[int]) -> list[int]:
        """Join a last chunk under ``minimum`` to the one before, or share out the two."""
        if len(cuts) < 3 or self.units[cuts[-2]].starts_new_chunk:
            return cuts
        *rest, first, cut, end = cuts
        if self._sum(cut, end) >= self.minimum:
            return cuts
        if self._tokens(first, end) <= self.ruler.size:
            return [*rest, first, end]
        fair = min(range(first + 1, end), key=lambda place: self._imbalance(first, place, end))
        fits = max(self._tokens(first, fair), self._tokens(fair, end)) <= self.ruler.size
        return [*rest, first, fair if fits else cut, end]

    def _imbalance(self, first: int, place: int, end: int) -> tuple[int, Boundary, int]:
        left, right = self._sum(first, place), self._sum(place, end)
        missing = max(0, self.minimum - min(left, right))
        return missing, self.units[place].boundary, abs(left - right)

    def with_overlap(self, cuts: Sequence[int]) -> list[Range]:
        """The ranges between cuts, each begun where its share of the one before begins."""
        ranges = []
        for previous, first, end in zip([0, *cuts], cuts, cuts[1:], strict=False):
            start = self._overlap_start(previous, first, end)
            ranges.append((start, self.units[end - 1].end))
        return ranges

    def _overlap_start(self, previous: int, first: int, end: int) -> int:
        allowance = min(self.overlap, self.ruler.size - self._sum(first, end))
        if first > previous and allowance > 0 and not self.units[first].starts_new_chunk:
            for start in self._overlap_starts(previous, first, allowance):
                shared = self.ruler.count(start, self.units[first - 1].end)
                whole = self.ruler.count(start, self.units[end - 1].end)
                if shared <= allowance and whole <= self.ruler.size:
                    return start
        return self.units[first].start

    def _overlap_starts(self, previous: int, first: int, allowance: int) -> Iterator[int]:
        """Where the overlap may begin, longest first: with a whole unit, else with a word of
        the last unit. Never with all of the chunk before."""
        unit = bisect_left(self.totals, self.totals[first] - allowance)
        yield from (self.units[i].start for i in range(max(unit, previous + 1), first))
        yield from self._starts_inside(self.units[first - 1], allowance)

    def _starts_inside(self, unit: Unit, allowance: int) -> list[int]:
        """Words whose way to the unit's end is ``allowance`` tokens or less; graphemes where
        words are so long that they would leave half of it unused."""
        text = self.ruler.text
        tokens = [
            unit.start + a for a, _ in self.ruler.tokenizer.offsets(text[unit.start : unit.end])
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
        return self.ruler.count(self.units[first].start, self.units[end - 1].end)


def _first_from(places: Sequence[int], place: int, otherwise: int) -> int:
    """The first of the ordered ``places`` that is not before ``place``."""
    at = bisect_left(places, place)
    return places[at] if at < len(places) else otherwise
