"""What differs between two versions of a transcript, for people to read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Literal

from resources.records import TimedSpan, Transcript
from resources.transcripts.alignment import Range, aligned, atoms
from resources.transcripts.timing import segment_spans, word_spans

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
    old_spans, new_spans = _spans(old), _spans(new)
    for (was, now), (was_next, now_next) in pairwise(edges):
        before = old.text[was[1] : was_next[0]].strip()
        after = new.text[now[1] : now_next[0]].strip()
        if before:
            yield Change("words", _second(old_spans, was[1]), before, after)
        elif after:
            yield Change("words", _second(new_spans, now[1]), before, after)


def _renamed(old: Transcript, new: Transcript, pairs: Sequence[Pair]) -> Iterator[Change]:
    """For each two speakers, where first the one says what the other said."""
    before = _speakers(old, [was for was, _ in pairs])
    after = _speakers(new, [now for _, now in pairs])
    firsts: dict[tuple[str, str], int] = {}
    for one, other, (_, now) in zip(before, after, pairs, strict=True):
        if one != other:
            firsts.setdefault((one, other), now[0])
    spans = _spans(new) if firsts else ()
    for (one, other), first in firsts.items():
        yield Change("speaker", _second(spans, first), one, other)


def _speakers(transcript: Transcript, ranges: Sequence[Range]) -> Iterator[str]:
    """Whose segment each of the ranges begins in; empty for nobody's."""
    turns = segment_spans(transcript.text, transcript.segments)
    at = 0
    for start, _ in ranges:
        while at < len(turns) and turns[at].char_end <= start:
            at += 1
        inside = at < len(turns) and turns[at].char_start <= start
        yield (turns[at].speaker or "") if inside else ""


def _spans(transcript: Transcript) -> tuple[TimedSpan, ...]:
    text = transcript.text
    return word_spans(text, transcript.words) or segment_spans(text, transcript.segments)


def _second(spans: Sequence[TimedSpan], char: int) -> float:
    """When what follows a character is said, or all is said."""
    at = bisect_right(spans, char, key=attrgetter("char_end"))
    if at < len(spans):
        return spans[at].start_seconds
    return spans[-1].end_seconds if spans else 0.0
