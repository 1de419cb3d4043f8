"""Characters to seconds: where each word of a transcript stands, and when a passage was said.

Here: pure functions over ``TimedSpan``. Not here: cutting text (``pipeline_assets/transforms``),
making times (the transcription engines).

Functions that take spans need them in order: neither ``char_start`` nor ``char_end`` may
decrease, which holds for all that this module makes.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter

from resources.errors import InvalidResult
from resources.records import Segment, TimedSpan, Transcript, Word

#: Seconds by which a time may miss its bound: engines count in frames of 0.02 s and round.
TOLERANCE_SECONDS = 0.05

#: Words in a row that must match before a stretch of text without words is jumped over, and
#: how long that stretch may be: some five minutes of speech.
ANCHOR_WORDS = 4
ANCHOR_REACH_CHARACTERS = 5_000

_by_start = attrgetter("char_start")
_by_end = attrgetter("char_end")


def word_spans(text: str, words: Sequence[Word]) -> tuple[TimedSpan, ...]:
    """The characters each word occupies in ``text``, in order, without the white space a
    word may carry. A word that is not there in its turn is left out, never put elsewhere."""
    at = places(text, [word.word for word in words])
    return tuple(TimedSpan(*at[i], words[i].start, words[i].end) for i in sorted(at))


def segment_spans(text: str, segments: Sequence[Segment]) -> tuple[TimedSpan, ...]:
    """As ``word_spans``, for segments, with their speakers."""
    at = places(text, [segment.text for segment in segments])
    return tuple(
        TimedSpan(*at[i], segments[i].start, segments[i].end, segments[i].speaker)
        for i in sorted(at)
    )


def transcript_spans(transcript: Transcript) -> tuple[TimedSpan, ...]:
    """What ``chunk`` wants for a transcript: each word with the speaker of its segment, or
    the segments where the engine timed no words."""
    segments = segment_spans(transcript.text, transcript.segments)
    words = word_spans(transcript.text, transcript.words)
    if any(segment.speaker is not None for segment in segments):
        words = tuple(_spoken(words, segments))
    return words or segments


def span_of(
    spans: Sequence[TimedSpan], char_start: int, char_end: int
) -> tuple[float, float] | tuple[None, None]:
    """When the characters ``[char_start, char_end)`` were said, as ``(start_seconds,
    end_seconds)``; ``(None, None)`` where no span overlaps them."""
    inside = overlapping(spans, char_start, char_end)
    if not inside:
        return None, None
    return min(s.start_seconds for s in inside), max(s.end_seconds for s in inside)


def dominant_speaker(spans: Sequence[TimedSpan], char_start: int, char_end: int) -> str | None:
    """Who spoke longest, in seconds, in ``[char_start, char_end)``, the first of equals; None
    where that is speech without a speaker, or nothing. A span that is partly in the range
    counts by the share of its characters."""
    inside = overlapping(spans, char_start, char_end)
    if all(span.speaker is None for span in inside):
        return None
    seconds: defaultdict[str | None, float] = defaultdict(float)
    for span in inside:
        shared = min(span.char_end, char_end) - max(span.char_start, char_start)
        share = shared / max(1, span.char_end - span.char_start)
        seconds[span.speaker] += share * (span.end_seconds - span.start_seconds)
    return max(seconds, key=lambda speaker: seconds[speaker], default=None)


def check_order(spans: Sequence[TimedSpan]) -> None:
    """Raise ``InvalidResult`` unless the spans are in the order this module needs."""
    for before, after in pairwise(spans):
        if before.char_start > after.char_start or before.char_end > after.char_end:
            raise InvalidResult(
                f"timed spans are out of order: characters {before.char_start} to "
                f"{before.char_end} come before {after.char_start} to {after.char_end}",
                remedy="Sort the spans by position and let none lie inside another.",
            )


def check_times(transcript: Transcript) -> None:
    """Raise ``InvalidResult`` when a word or segment ends before it starts, when starts or
    ends decrease, are negative or lie past ``duration_seconds`` (each by more than
    ``TOLERANCE_SECONDS``), or when a word is missing from the text."""
    duration = transcript.duration_seconds
    faults = [
        *_time_faults("word", transcript.words, duration),
        *_time_faults("segment", transcript.segments, duration),
    ]
    spoken = [word for word in transcript.words if word.word.strip()]
    placed = places(transcript.text, [word.word for word in spoken])
    if missing := [word for i, word in enumerate(spoken) if i not in placed]:
        faults.append(
            f"{len(missing)} of {len(spoken)} words are not in the text in their order, "
            f"first {missing[0].word!r} at {missing[0].start:.2f} s"
        )
    if faults:
        raise InvalidResult(
            f"the transcript contradicts itself ({len(faults)} faults): {faults[0]}",
            remedy="Transcribe the recording again, with another engine if it happens again.",
        )


def _time_faults(name: str, timed: Sequence[Word | Segment], duration: float) -> Iterator[str]:
    start, end = 0.0, 0.0
    for number, item in enumerate(timed, 1):
        what = f"{name} {number} ({item.start} to {item.end} s)"
        if not (math.isfinite(item.start) and math.isfinite(item.end)):
            yield f"{what} has no finite times"
        if item.start < start - TOLERANCE_SECONDS or item.end < end - TOLERANCE_SECONDS:
            yield f"{what} goes back in time: the one before is {start} to {end} s"
        if item.end < item.start - TOLERANCE_SECONDS:
            yield f"{what} ends before it starts"
        if item.end > duration + TOLERANCE_SECONDS:
            yield f"{what} ends after the recording does, at {duration} s"
        start, end = item.start, item.end


def _spoken(words: Sequence[TimedSpan], segments: Sequence[TimedSpan]) -> Iterator[TimedSpan]:
    """The words with their ``dominant_speaker``, asked for only where segments meet in a word."""
    at = 0
    for word in words:
        while at < len(segments) - 1 and segments[at].char_end <= word.char_start:
            at += 1
        start, end, segment = word.char_start, word.char_end, segments[at]
        if segment.char_start <= start and end <= segment.char_end:
            speaker = segment.speaker
        else:
            speaker = dominant_speaker(segments, start, end)
        yield TimedSpan(start, end, word.start_seconds, word.end_seconds, speaker)


def overlapping(spans: Sequence[TimedSpan], char_start: int, char_end: int) -> Sequence[TimedSpan]:
    """The spans that share a character with ``[char_start, char_end)``, in order."""
    first = bisect_right(spans, char_start, key=_by_end)
    return spans[first : bisect_left(spans, char_end, key=_by_start)]


def places(text: str, pieces: Sequence[str]) -> dict[int, tuple[int, int]]:
    """``{index of piece: (char_start, char_end)}`` of the pieces that stand in ``text`` in
    their turn: next after the last one placed, or where several in a row match again."""
    found: dict[int, tuple[int, int]] = {}
    cursor = 0
    for i, piece in enumerate(pieces):
        bare = piece.strip()
        if end := _right_here(text, cursor, bare):
            cursor = end
            found[i] = (end - len(bare), end)
            continue
        reach = cursor + ANCHOR_REACH_CHARACTERS
        at = text.find(bare, cursor, reach + len(bare)) if bare else -1
        if at < 0:
            continue
        if not _next_in_line(text, cursor, at, at + len(bare), pieces[i + 1 : i + 2]):
            at = _anchor(text, cursor, reach, pieces[i : i + ANCHOR_WORDS])
        if at >= 0:
            cursor = at + len(bare)
            found[i] = (at, cursor)
    return found


def _right_here(text: str, cursor: int, bare: str) -> int | None:
    """Where a piece ends that stands after no more than one space and before no letter, as nearly
    all do."""
    start = cursor + text.startswith(" ", cursor)
    end = start + len(bare)
    if bare and text.startswith(bare, start) and not text[end : end + 1].isalnum():
        return end
    return None


def _next_in_line(text: str, cursor: int, at: int, end: int, following: Sequence[str]) -> bool:
    """Whether only white space and punctuation lie before, and no word is cut in two. Scripts
    without spaces have no visible edge: there the next piece must go on at once."""
    if any(map(str.isalnum, text[cursor:at])):
        return False
    inside_word = text[end - 1].isalnum() and text[end : end + 1].isalnum()
    return not inside_word or any(text.startswith(piece, end) for piece in following if piece)


def _anchor(text: str, cursor: int, reach: int, pieces: Sequence[str]) -> int:
    """Where in ``[cursor, reach)`` these pieces stand in a row, only white space and
    punctuation between, or -1. Fewer than two prove nothing."""
    bare = [re.escape(piece.strip()) for piece in pieces if piece.strip()]
    if len(bare) < 2:
        return -1
    row = re.compile(r"(?<!\w)" + r"[\W_]*".join(bare) + r"(?!\w)")
    found = row.search(text, cursor, reach)
    return found.start() if found else -1
