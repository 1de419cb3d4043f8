"""What differs between two versions of a transcript, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Literal

import numpy as np

from playhead.core.records import Transcript
from playhead.transcripts.alignment import Range, aligned, atoms
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import segment_timeline, word_timeline

Pair = tuple[Range, Range]  # where a word was in the old text and is in the new one


@dataclass(frozen=True, slots=True)
class Change:
    """At ``seconds`` it said ``before`` and now says ``after``; one of them is empty for words
    that were added or went. A speaker's change is told once, with the second of the first, and
    has the names; nobody's is empty."""

    what: Literal["words", "speaker"]
    seconds: float
    before: str
    after: str


def compare(old: Transcript, new: Transcript) -> tuple[Change, ...]:
    """All that has other words or another speaker now, in order of time. White space and times
    are not compared."""
    was, now = atoms(old.text), atoms(new.text)
    mates = aligned([old.text[a:b] for a, b in was], [new.text[a:b] for a, b in now])
    pairs = [(was[mate], atom) for atom, mate in zip(now, mates, strict=True) if mate is not None]
    changes = [*_reworded(old, new, pairs), *_renamed(old, new, pairs)]
    return tuple(sorted(changes, key=attrgetter("seconds")))


def _reworded(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """What stands between words that stayed the same."""
    same = [(was, now) for was, now in pairs if old.text[slice(*was)] == new.text[slice(*now)]]
    edges = [((0, 0), (0, 0)), *same, ((len(old.text),) * 2, (len(new.text),) * 2)]
    old_times, new_times = _timeline(old), _timeline(new)
    for (was, now), (was_next, now_next) in pairwise(edges):
        before = old.text[was[1] : was_next[0]].strip()
        after = new.text[now[1] : now_next[0]].strip()
        if before:
            yield Change("words", _second(old_times, was[1]), before, after)
        elif after:
            yield Change("words", _second(new_times, now[1]), before, after)


def _renamed(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """For each two speakers, where first the one says what the other said."""
    before = _speakers(old, [was for was, _ in pairs])
    after = _speakers(new, [now for _, now in pairs])
    firsts: dict[tuple[str, str], int] = {}
    for one, other, (_, now) in zip(before, after, pairs, strict=True):
        if one != other:
            firsts.setdefault((one, other), now[0])
    times = _timeline(new) if firsts else Timeline.of(())
    for (one, other), first in firsts.items():
        yield Change("speaker", _second(times, first), one, other)


def _speakers(transcript: Transcript, ranges: Sequence[Range]) -> Iterator[str]:
    """Whose segment each of the ranges begins in; empty for nobody's."""
    turns = segment_timeline(transcript.text, transcript.segments)
    speakers = turns.speakers([(start, start + 1) for start, _ in ranges])
    return (speaker or "" for speaker in speakers)


def _timeline(transcript: Transcript) -> Timeline:
    words = word_timeline(transcript.text, transcript.words)
    return words if len(words) else segment_timeline(transcript.text, transcript.segments)


def _second(timeline: Timeline, char: int) -> float:
    """When what follows a character is said, or all is said."""
    at = int(np.searchsorted(timeline.char_ends, char, "right"))
    if at < len(timeline):
        return float(timeline.start_seconds[at])
    return float(timeline.end_seconds[-1]) if len(timeline) else 0.0
