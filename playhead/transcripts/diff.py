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

Pair = tuple[Range, Range]  # ranges of a word in the old and the new text


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
    old_tokens, new_tokens = edit_tokens(old.text), edit_tokens(new.text)
    matches = align([old.text[a:b] for a, b in old_tokens], [new.text[a:b] for a, b in new_tokens])
    pairs = [
        (old_tokens[match], atom)
        for atom, match in zip(new_tokens, matches, strict=True)
        if match is not None
    ]
    changes = [*_text_changes(old, new, pairs), *_speaker_changes(old, new, pairs)]
    return tuple(sorted(changes, key=attrgetter("seconds")))


def _text_changes(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """Yield the differences between words that are unchanged."""
    unchanged = [
        (old_range, new_range)
        for old_range, new_range in pairs
        if old.text[slice(*old_range)] == new.text[slice(*new_range)]
    ]
    edges = [((0, 0), (0, 0)), *unchanged, ((len(old.text),) * 2, (len(new.text),) * 2)]
    old_times, new_times = _timeline(old), _timeline(new)
    for (old_range, new_range), (old_next, new_next) in pairwise(edges):
        before = old.text[old_range[1] : old_next[0]].strip()
        after = new.text[new_range[1] : new_next[0]].strip()
        if before:
            yield Change("words", _second(old_times, old_range[1]), before, after)
        elif after:
            yield Change("words", _second(new_times, new_range[1]), before, after)


def _speaker_changes(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """Yield the first occurrence of each change from one speaker to another."""
    before = _speakers(old, [old_range for old_range, _ in pairs])
    after = _speakers(new, [new_range for _, new_range in pairs])
    first_occurrences: dict[tuple[str, str], int] = {}
    for old_name, other, (_, new_range) in zip(before, after, pairs, strict=True):
        if old_name != other:
            first_occurrences.setdefault((old_name, other), new_range[0])
    times = _timeline(new) if first_occurrences else Timeline.of(())
    for (old_name, other), first in first_occurrences.items():
        yield Change("speaker", _second(times, first), old_name, other)


def _speakers(transcript: Transcript, ranges: Sequence[Range]) -> Iterator[str]:
    """Return the speaker of the segment that each range begins in; empty if unknown."""
    timeline = segment_timeline(transcript.text, transcript.segments)
    speakers = timeline.speakers([(start, start + 1) for start, _ in ranges])
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
