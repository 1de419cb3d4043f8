"""Merge the segments of two overlapping pieces without repeated or lost words.

Pieces are split at pauses; without a pause the next piece repeats the end of the previous one, and
the words that both recognized determine where to switch. The functions are pure.
``pause_splitting.py`` splits, ``assembly.py`` maps times to the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from playhead.core.records import Word
from playhead.engines.transcription.timed_segments import TimedSegment
from playhead.engines.transcription.word_times import TimeRange
from playhead.transcripts.alignment import align, count_letters

_SAME_SECONDS: Final = 1.5  # maximum time difference of a word recognized twice


@dataclass(frozen=True, slots=True)
class _PlacedWord:
    """A word with the index of its segment and its index in that segment."""

    line: int
    at: int
    word: Word


def merge_overlap(
    before: Sequence[TimedSegment], after: Sequence[TimedSegment], overlap: TimeRange
) -> list[TimedSegment]:
    """Merge the segments of two pieces that overlap in the seconds ``overlap``.

    The result has the words of ``before`` up to a word that both pieces recognized, as near to the
    middle of the overlap as possible, and the words of ``after`` from then on. If they agree on no
    word, the switch is at the middle. Speakers of words that both recognized keep their names.
    """
    middle = sum(overlap) / 2
    old = [placed for placed in _placed_words(before) if placed.word.end >= overlap[0]]
    new = [placed for placed in _placed_words(after) if placed.word.start <= overlap[1]]
    pairs = _pairs(old, new)
    after = _rename_speakers(before, after, pairs)
    if pairs:
        last, first = min(pairs, key=lambda pair: abs(_middle(pair[0].word) - middle))
        head = {(placed.line, placed.at) for placed in old if _sort_key(placed) <= _sort_key(last)}
        tail = {(placed.line, placed.at) for placed in new if _sort_key(placed) > _sort_key(first)}
    else:
        head = {(placed.line, placed.at) for placed in old if _middle(placed.word) < middle}
        tail = {(placed.line, placed.at) for placed in new if _middle(placed.word) >= middle}
    return [
        *_remove_words(before, {_sort_key(placed) for placed in old} - head),
        *_remove_words(after, {_sort_key(placed) for placed in new} - tail),
    ]


def relabel_speakers(lines: Iterable[TimedSegment], piece: int) -> list[TimedSegment]:
    """Add the number of the piece to speaker labels, from the second piece on.

    An engine that processes each piece alone cannot know who spoke in another piece: speaker A in
    this piece need not be speaker A in another.
    """
    if piece == 1:
        return list(lines)
    return [
        replace(line, speaker=f"{line.speaker}-{piece}") if line.speaker else line for line in lines
    ]


def _placed_words(lines: Sequence[TimedSegment]) -> list[_PlacedWord]:
    return [
        _PlacedWord(number, at, word)
        for number, line in enumerate(lines)
        for at, word in enumerate(line.words)
    ]


def _sort_key(placed: _PlacedWord) -> tuple[int, int]:
    return placed.line, placed.at


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _pairs(
    old: Sequence[_PlacedWord], new: Sequence[_PlacedWord]
) -> list[tuple[_PlacedWord, _PlacedWord]]:
    """Return the pairs of equal words at about the same second."""
    matches = align([placed.word.word for placed in old], [placed.word.word for placed in new])
    pairs = [
        (old[match], placed)
        for placed, match in zip(new, matches, strict=True)
        if match is not None
    ]
    return [
        (word, other)
        for word, other in pairs
        if count_letters(word.word.word) == count_letters(other.word.word)
        and abs(_middle(word.word) - _middle(other.word)) <= _SAME_SECONDS
    ]


def _rename_speakers(
    before: Sequence[TimedSegment],
    after: Sequence[TimedSegment],
    pairs: Sequence[tuple[_PlacedWord, _PlacedWord]],
) -> list[TimedSegment]:
    names = {after[new.line].speaker: before[old.line].speaker for old, new in pairs}
    return [replace(line, speaker=names.get(line.speaker, line.speaker)) for line in after]


def _remove_words(
    lines: Sequence[TimedSegment], removed: set[tuple[int, int]]
) -> list[TimedSegment]:
    remaining = (
        line.with_only({at for at in range(len(line.words)) if (number, at) not in removed})
        for number, line in enumerate(lines)
    )
    return [line for line in remaining if line]
