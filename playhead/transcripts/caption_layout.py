"""Segments as captions that can be read while they are heard.

The limits are those of Netflix's Timed Text Style Guide: two lines of 42 characters, seven
seconds. Characters that are twice as wide (Chinese, Japanese, Korean) count twice.

Here: where a segment is cut into captions and lines, and when each was said. Not here: how a file
of them looks (``captions.py``), what stands before a text (``markup.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from rich.cells import cell_len

from playhead.core.records import Segment, Transcript
from playhead.transcripts.alignment import Range, atoms
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import places, word_timeline

COLUMNS: Final = 42
LONGEST_SECONDS: Final = 7.0

_SENTENCE_ENDS: Final = tuple(".!?…。！？؟۔।")
_CLAUSE_ENDS: Final = tuple(",;:–—、，；：،؛")

#: What is shown before a segment's text from a character on, "Ann:"; mostly nothing, "".
Lead = Callable[[Segment, int], str]
Seconds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Caption:
    """A part of segment number ``segment`` (from 0), its first if it ``begins`` it: shown from
    ``start`` to ``end``, said until ``said_until``. ``text`` has at most two lines; only a word
    that is longer by itself makes one longer than ``COLUMNS``."""

    segment: int
    begins: bool
    start: float
    end: float
    said_until: float
    text: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is never cut: a word, or a character of scripts without spaces."""

    at: int  # in the segment's text
    text: str
    spaced: bool  # whether white space stands before it
    start: float
    end: float


def captions(transcript: Transcript, lead: Lead) -> Iterator[Caption]:
    """All of a transcript in order, at least one a segment."""
    stands = places(transcript.text, [segment.text for segment in transcript.segments])
    words = word_timeline(transcript.text, transcript.words)
    for number, segment in enumerate(transcript.segments):
        yield from _cut(number, segment, _pieces(segment, stands.get(number), words), lead)


def _cut(number: int, segment: Segment, pieces: Sequence[_Piece], lead: Lead) -> Iterator[Caption]:
    at, start = 0, segment.start
    while at < len(pieces) or not at:
        leading = lead(segment, pieces[at].at if at else 0)
        stop = at + _how_many(leading, pieces[at:], start)
        until = pieces[stop - 1].end if stop < len(pieces) else segment.end
        end = min(until, start + LONGEST_SECONDS)
        text = "\n".join(_lines(leading, pieces[at:stop]))
        yield Caption(number, not at, start, end, until, text)
        if stop >= len(pieces):
            return
        at, start = stop, pieces[stop].start


def _pieces(segment: Segment, stands: Range | None, words: Timeline) -> list[_Piece]:
    ranges = atoms(segment.text)
    times = _times(segment, ranges, stands, words)
    before = 0
    pieces = []
    for (at, end), seconds in zip(ranges, times, strict=True):
        pieces.append(_Piece(at, segment.text[at:end], at > before, *seconds))
        before = end
    return pieces


def _times(
    segment: Segment, ranges: Sequence[Range], stands: Range | None, words: Timeline
) -> list[Seconds]:
    """Of each range of the segment's text, by its words, or else by its share of the characters;
    in order, and within the segment."""
    timed: Sequence[Seconds | tuple[None, None]] = []
    if stands is not None:
        shift = stands[0] - (len(segment.text) - len(segment.text.lstrip()))
        timed = words.seconds([(at + shift, end + shift) for at, end in ranges])
    if not any(start is not None for start, _ in timed):
        length = (segment.end - segment.start) / max(1, len(segment.text))
        timed = [(segment.start + at * length, segment.start + end * length) for at, end in ranges]
    latest, ordered = segment.start, []
    for start, end in timed:  # one without a time, a dash by itself, goes with the one before
        begin = min(max(latest, latest if start is None else start), max(latest, segment.end))
        latest = min(max(begin, begin if end is None else end), max(begin, segment.end))
        ordered.append((begin, latest))
    return ordered


def _how_many(leading: str, pieces: Sequence[_Piece], start: float) -> int:
    """As many as a caption holds, or fewer, where that ends a sentence or at least a clause."""
    most = 1
    while most < len(pieces) and _fits(leading, pieces[: most + 1], start):
        most += 1
    if most == len(pieces):
        return most
    return max(
        range(most // 2 + 1, most + 1), key=lambda size: (_ends(pieces[size - 1].text), size)
    )


def _fits(leading: str, pieces: Sequence[_Piece], start: float) -> bool:
    lines = _lines(leading, pieces)
    short = len(lines) <= 2 and all(cell_len(line) <= COLUMNS for line in lines)
    return short and pieces[-1].end - start <= LONGEST_SECONDS


def _ends(text: str) -> int:
    """More for a sentence than for a clause, which is more than nothing."""
    bare = text.rstrip("\"'”’»」』)")
    return 2 * bare.endswith(_SENTENCE_ENDS) + bare.endswith(_CLAUSE_ENDS)


def _lines(leading: str, pieces: Sequence[_Piece]) -> list[str]:
    """One line, or two: parted where a sentence or a clause ends, or else in the middle."""
    texts = [" " * piece.spaced + piece.text for piece in pieces]
    if leading:
        texts[:1] = [leading, *(f" {text.lstrip()}" for text in texts[:1])]
    whole = "".join(texts).lstrip()
    if cell_len(whole) <= COLUMNS or len(texts) < 2:
        return [whole]
    widths = list(accumulate(map(cell_len, texts)))

    def worth(at: int) -> tuple[bool, int, int]:
        longer = max(widths[at - 1], widths[-1] - widths[at - 1])
        return longer <= COLUMNS, _ends(texts[at - 1]), -longer

    at = max(range(1, len(texts)), key=worth)
    return ["".join(texts[:at]).lstrip(), "".join(texts[at:]).lstrip()]
