"""Split segments into captions that can be read while the recording plays.

The limits are those of Netflix's Timed Text Style Guide: two lines of 42 characters, seven seconds.
Double-width characters (Chinese, Japanese, Korean) count twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from rich.cells import cell_len

from playhead.core.records import Segment, Transcript
from playhead.transcripts.alignment import Range, edit_tokens
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import locate_words, word_timeline

COLUMNS: Final = 42
MAX_SECONDS: Final = 7.0

_SENTENCE_ENDS: Final = tuple(".!?…。！？؟۔।")
_CLAUSE_ENDS: Final = tuple(",;:–—、，；：،؛")

#: Returns the text shown before a segment's text from a character on, such as "Ann:"; usually "".
Lead = Callable[[Segment, int], str]
Seconds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption: part of the segment with the index ``segment`` (from 0).

    ``begins`` marks the first caption of its segment. It is shown from ``start`` to ``end``; its
    speech ends at ``speech_end`` (all in seconds). ``text`` has at most two lines; a line is longer
    than ``COLUMNS`` only if a single word is.
    """

    segment: int
    is_first: bool
    start: float
    end: float
    speech_end: float
    text: str


@dataclass(frozen=True, slots=True)
class CaptionPart:
    """A unit that is never split: a word, or a character of scripts without spaces."""

    at: int  # character in the segment's text
    text: str
    spaced: bool  # white space precedes it
    start: float
    end: float


def layout_captions(transcript: Transcript, lead: Lead) -> Iterator[Caption]:
    """Yield the captions of a transcript in order, at least one per segment."""
    segment_ranges = locate_words(
        transcript.text, [segment.text for segment in transcript.segments]
    )
    words = word_timeline(transcript.text, transcript.words)
    for number, segment in enumerate(transcript.segments):
        yield from _cut(number, segment, _pieces(segment, segment_ranges.get(number), words), lead)


def _cut(
    number: int, segment: Segment, pieces: Sequence[CaptionPart], lead: Lead
) -> Iterator[Caption]:
    at, start = 0, segment.start
    while at < len(pieces) or not at:
        leading = lead(segment, pieces[at].at if at else 0)
        stop = at + _count_fitting(leading, pieces[at:], start)
        until = pieces[stop - 1].end if stop < len(pieces) else segment.end
        end = min(until, start + MAX_SECONDS)
        text = "\n".join(_lines(leading, pieces[at:stop]))
        yield Caption(number, not at, start, end, until, text)
        if stop >= len(pieces):
            return
        at, start = stop, pieces[stop].start


def _pieces(segment: Segment, segment_range: Range | None, words: Timeline) -> list[CaptionPart]:
    ranges = edit_tokens(segment.text)
    times = _times(segment, ranges, segment_range, words)
    before = 0
    pieces = []
    for (at, end), seconds in zip(ranges, times, strict=True):
        pieces.append(CaptionPart(at, segment.text[at:end], at > before, *seconds))
        before = end
    return pieces


def _times(
    segment: Segment, ranges: Sequence[Range], segment_range: Range | None, words: Timeline
) -> list[Seconds]:
    """Return the start and end in seconds of each range of the segment's text.

    Times come from the words, or from the share of characters if no word is timed. They are in
    order and within the segment.
    """
    timed: Sequence[Seconds | tuple[None, None]] = []
    if segment_range is not None:
        shift = segment_range[0] - (len(segment.text) - len(segment.text.lstrip()))
        timed = words.seconds([(at + shift, end + shift) for at, end in ranges])
    if not any(start is not None for start, _ in timed):
        length = (segment.end - segment.start) / max(1, len(segment.text))
        timed = [(segment.start + at * length, segment.start + end * length) for at, end in ranges]
    latest, ordered = segment.start, []
    for start, end in timed:  # a part without a time, such as a dash, joins the previous one
        begin = min(max(latest, latest if start is None else start), max(latest, segment.end))
        latest = min(max(begin, begin if end is None else end), max(begin, segment.end))
        ordered.append((begin, latest))
    return ordered


def _count_fitting(leading: str, pieces: Sequence[CaptionPart], start: float) -> int:
    """Count the parts for the next caption: as many as fit, or fewer to end well.

    Fewer are taken if that ends a sentence, or at least a clause.
    """
    maximum = 1
    while maximum < len(pieces) and _fits(leading, pieces[: maximum + 1], start):
        maximum += 1
    if maximum == len(pieces):
        return maximum
    return max(
        range(maximum // 2 + 1, maximum + 1), key=lambda size: (_ends(pieces[size - 1].text), size)
    )


def _fits(leading: str, pieces: Sequence[CaptionPart], start: float) -> bool:
    lines = _lines(leading, pieces)
    short = len(lines) <= 2 and all(cell_len(line) <= COLUMNS for line in lines)
    return short and pieces[-1].end - start <= MAX_SECONDS


def _ends(text: str) -> int:
    """Return 2 if the text ends a sentence, 1 if it ends a clause, else 0."""
    bare = text.rstrip("\"'”’»」』)")
    return 2 * bare.endswith(_SENTENCE_ENDS) + bare.endswith(_CLAUSE_ENDS)


def _lines(leading: str, pieces: Sequence[CaptionPart]) -> list[str]:
    """Return one line, or two that are split at a sentence or clause end, else in the middle."""
    texts = [" " * piece.spaced + piece.text for piece in pieces]
    if leading:
        texts[:1] = [leading, *(f" {text.lstrip()}" for text in texts[:1])]
    line = "".join(texts).lstrip()
    if cell_len(line) <= COLUMNS or len(texts) < 2:
        return [line]
    widths = list(accumulate(map(cell_len, texts)))

    def worth(at: int) -> tuple[bool, int, int]:
        max_width = max(widths[at - 1], widths[-1] - widths[at - 1])
        return max_width <= COLUMNS, _ends(texts[at - 1]), -max_width

    at = max(range(1, len(texts)), key=worth)
    return ["".join(texts[:at]).lstrip(), "".join(texts[at:]).lstrip()]
