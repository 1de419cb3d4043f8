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

_SAME_SECONDS: Final = 1.5  # a word heard twice is at the same second, give or take this


@dataclass(frozen=True, slots=True)
class _PlacedWord:
    """A word with the index of its segment and its index in that segment."""

    line: int
    at: int
    word: Word


def merge_overlap(
    before: Sequence[TimedSegment], after: Sequence[TimedSegment], both: TimeRange
) -> list[TimedSegment]:
    """Merge the segments of two pieces that overlap in the seconds ``both``.

    The result has the words of ``before`` up to a word that both pieces recognized, as near to the
    middle of the overlap as possible, and the words of ``after`` from then on. If they agree on no
    word, the switch is at the middle. Speakers of words that both recognized keep their names.
    """
    middle = sum(both) / 2
    old = [spot for spot in _placed_words(before) if spot.word.end >= both[0]]
    new = [spot for spot in _placed_words(after) if spot.word.start <= both[1]]
    pairs = _pairs(old, new)
    after = _rename_speakers(before, after, pairs)
    if pairs:
        last, first = min(pairs, key=lambda pair: abs(_middle(pair[0].word) - middle))
        head = {(spot.line, spot.at) for spot in old if _sort_key(spot) <= _sort_key(last)}
        tail = {(spot.line, spot.at) for spot in new if _sort_key(spot) > _sort_key(first)}
    else:
        head = {(spot.line, spot.at) for spot in old if _middle(spot.word) < middle}
        tail = {(spot.line, spot.at) for spot in new if _middle(spot.word) >= middle}
    return [
        *_remove_words(before, {_sort_key(spot) for spot in old} - head),
        *_remove_words(after, {_sort_key(spot) for spot in new} - tail),
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


def _sort_key(spot: _PlacedWord) -> tuple[int, int]:
    return spot.line, spot.at


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _pairs(
    old: Sequence[_PlacedWord], new: Sequence[_PlacedWord]
) -> list[tuple[_PlacedWord, _PlacedWord]]:
    """Return the pairs of equal words at about the same second."""
    mates = align([spot.word.word for spot in old], [spot.word.word for spot in new])
    found = [(old[mate], spot) for spot, mate in zip(new, mates, strict=True) if mate is not None]
    return [
        (word, other)
        for word, other in found
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


def _remove_words(lines: Sequence[TimedSegment], gone: set[tuple[int, int]]) -> list[TimedSegment]:
    kept = (
        line.with_only({at for at in range(len(line.words)) if (number, at) not in gone})
        for number, line in enumerate(lines)
    )
    return [line for line in kept if line]
