"""Differences between two versions of a transcript, for display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Literal

import numpy as np

from playhead.core.records import Transcript
from playhead.transcripts.alignment import Range, align, edit_tokens
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import segment_timeline, word_timeline

Pair = tuple[Range, Range]  # where a word was in the old text and is in the new one


@dataclass(frozen=True, slots=True)
class Change:
    """A change at ``seconds`` from ``before`` to ``after``.

    One of them is empty for added or removed words. A change of speaker is reported once, at its
    first occurrence, with the names; an unknown speaker is empty.
    """

    what: Literal["words", "speaker"]
    seconds: float
    before: str
    after: str


def compare(old: Transcript, new: Transcript) -> tuple[Change, ...]:
    """Return all changed words and speakers, ordered by time.

    White space and times are not compared.
    """
    was, now = edit_tokens(old.text), edit_tokens(new.text)
    mates = align([old.text[a:b] for a, b in was], [new.text[a:b] for a, b in now])
    pairs = [(was[mate], atom) for atom, mate in zip(now, mates, strict=True) if mate is not None]
    changes = [*_text_changes(old, new, pairs), *_speaker_changes(old, new, pairs)]
    return tuple(sorted(changes, key=attrgetter("seconds")))


def _text_changes(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """Yield the differences between words that are unchanged."""
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


def _speaker_changes(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """Yield the first occurrence of each change from one speaker to another."""
    before = _speakers(old, [was for was, _ in pairs])
    after = _speakers(new, [now for _, now in pairs])
    firsts: dict[tuple[str, str], int] = {}
    for old_name, other, (_, now) in zip(before, after, pairs, strict=True):
        if old_name != other:
            firsts.setdefault((old_name, other), now[0])
    times = _timeline(new) if firsts else Timeline.of(())
    for (old_name, other), first in firsts.items():
        yield Change("speaker", _second(times, first), old_name, other)


def _speakers(transcript: Transcript, ranges: Sequence[Range]) -> Iterator[str]:
    """Return the speaker of the segment that each range begins in; empty if unknown."""
    turns = segment_timeline(transcript.text, transcript.segments)
    speakers = turns.speakers([(start, start + 1) for start, _ in ranges])
    return (speaker or "" for speaker in speakers)


def _timeline(transcript: Transcript) -> Timeline:
    words = word_timeline(transcript.text, transcript.words)
    return words if len(words) else segment_timeline(transcript.text, transcript.segments)


def _second(timeline: Timeline, char: int) -> float:
    """Return when the text after ``char`` is spoken, or the end of speech if none follows."""
    at = int(np.searchsorted(timeline.char_ends, char, "right"))
    if at < len(timeline):
        return float(timeline.start_seconds[at])
    return float(timeline.end_seconds[-1]) if len(timeline) else 0.0
