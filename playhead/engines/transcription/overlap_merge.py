"""What two pieces say becomes one: no word twice and none lost.

Here: pure functions over lines. Pieces are cut where nobody speaks; where nobody pauses, the next
one has the end of the one before once more, and the words of both say where to go over. Not here:
cutting (``silence.py``), the recording's clock (``whole.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from playhead.core.records import Word
from playhead.engines.transcription.timed_segments import Line
from playhead.engines.transcription.word_times import Stretch
from playhead.transcripts.alignment import aligned, letters

_SAME_SECONDS: Final = 1.5  # a word heard twice is at the same second, give or take this


@dataclass(frozen=True, slots=True)
class _Spot:
    """A word by its line and its place in there."""

    line: int
    at: int
    word: Word


def joined(before: Sequence[Line], after: Sequence[Line], both: Stretch) -> list[Line]:
    """Lines that both have the seconds ``both``: up to a word in there that both heard, as near
    to the middle as there is, those of ``before``, from then on those of ``after``. Where they
    agree on no word, to the middle. Speakers whose words both heard keep their names."""
    middle = sum(both) / 2
    old = [spot for spot in _spots(before) if spot.word.end >= both[0]]
    new = [spot for spot in _spots(after) if spot.word.start <= both[1]]
    pairs = _pairs(old, new)
    after = _renamed(before, after, pairs)
    if pairs:
        last, first = min(pairs, key=lambda pair: abs(_middle(pair[0].word) - middle))
        head = {(spot.line, spot.at) for spot in old if _place(spot) <= _place(last)}
        tail = {(spot.line, spot.at) for spot in new if _place(spot) > _place(first)}
    else:
        head = {(spot.line, spot.at) for spot in old if _middle(spot.word) < middle}
        tail = {(spot.line, spot.at) for spot in new if _middle(spot.word) >= middle}
    return [
        *_without(before, {_place(spot) for spot in old} - head),
        *_without(after, {_place(spot) for spot in new} - tail),
    ]


def told_apart(lines: Iterable[Line], piece: int) -> list[Line]:
    """Speakers of the second piece and later named by it, too: an engine that hears one piece
    alone cannot know who spoke in another, so its A here need not be its A there."""
    if piece == 1:
        return list(lines)
    return [
        replace(line, speaker=f"{line.speaker}-{piece}") if line.speaker else line for line in lines
    ]


def _spots(lines: Sequence[Line]) -> list[_Spot]:
    return [
        _Spot(number, at, word)
        for number, line in enumerate(lines)
        for at, word in enumerate(line.words)
    ]


def _place(spot: _Spot) -> tuple[int, int]:
    return spot.line, spot.at


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _pairs(old: Sequence[_Spot], new: Sequence[_Spot]) -> list[tuple[_Spot, _Spot]]:
    """The same words at about the same second."""
    mates = aligned([spot.word.word for spot in old], [spot.word.word for spot in new])
    found = [(old[mate], spot) for spot, mate in zip(new, mates, strict=True) if mate is not None]
    return [
        (one, other)
        for one, other in found
        if letters(one.word.word) == letters(other.word.word)
        and abs(_middle(one.word) - _middle(other.word)) <= _SAME_SECONDS
    ]


def _renamed(
    before: Sequence[Line], after: Sequence[Line], pairs: Sequence[tuple[_Spot, _Spot]]
) -> list[Line]:
    names = {after[new.line].speaker: before[old.line].speaker for old, new in pairs}
    return [replace(line, speaker=names.get(line.speaker, line.speaker)) for line in after]


def _without(lines: Sequence[Line], gone: set[tuple[int, int]]) -> list[Line]:
    kept = (
        line.with_only({at for at in range(len(line.words)) if (number, at) not in gone})
        for number, line in enumerate(lines)
    )
    return [line for line in kept if line]
