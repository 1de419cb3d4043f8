"""Segments of a transcript with their words and times.

Transcripts are split into segments and built from them, with times in order. ``word_times.py``
determines times; ``hallucinations.py`` and ``overlap_merge.py`` remove words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import accumulate, islice, pairwise

from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.word_positions import locate_words


@dataclass(frozen=True, slots=True)
class TimedSegment:
    """A segment with its words; there is at least one, and all occur in ``text``, in order."""

    text: str
    words: tuple[Word, ...]
    speaker: str | None = None
    language: str | None = None  # as in ``Segment``

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end

    def with_only(self, indices: AbstractSet[int]) -> TimedSegment | None:
        """Return the segment with the words of these indices, or None without words.

        The text that follows each word stays with it.
        """
        if len(indices) == len(self.words):
            return self
        text = "".join(part for i, part in enumerate(self._parts()) if i in indices).strip()
        words = tuple(word for i, word in enumerate(self.words) if i in indices)
        return replace(self, text=text, words=words) if words else None

    def _parts(self) -> Iterator[str]:
        """Return the text split by words, each with everything up to the next word."""
        starts = [start for start, _ in locate_words(self.text, _join_words(self.words)).values()]
        edges = [0, *starts[1:], len(self.text)]
        return (self.text[start:end] for start, end in pairwise(edges))


def timed_segments(segments: Sequence[Segment], words: Sequence[Word]) -> list[TimedSegment]:
    """Return the segments with their words, without segments that have no words."""
    texts = [segment.text.strip() for segment in segments]
    starts = [0, *accumulate(len(text) + 1 for text in texts)][:-1]
    words_by_segment: list[list[Word]] = [[] for _ in segments]
    for i, (at, _) in locate_words(" ".join(texts), _join_words(words)).items():
        words_by_segment[bisect_right(starts, at) - 1].append(words[i])
    return [
        TimedSegment(text, tuple(segment_words), segment.speaker, segment.language)
        for text, segment_words, segment in zip(texts, words_by_segment, segments, strict=True)
        if segment_words
    ]


def build_transcript(lines: Iterable[TimedSegment], language: str, duration: float) -> Transcript:
    """Build a transcript from segments in the order they were spoken.

    Times are put in order and limited to ``[0, duration]`` seconds. A segment states its language
    if that is not ``language``.
    """
    in_order = list(lines)
    words = iter(_fix_order([word for line in in_order for word in line.words], duration))
    timed = [replace(line, words=tuple(islice(words, len(line.words)))) for line in in_order]
    segments = tuple(_segment(line, language) for line in timed)
    return Transcript(
        text=" ".join(line.text for line in timed),
        language=language,
        duration_seconds=duration,
        words=tuple(word for line in timed for word in line.words),
        segments=segments,
    )


def _segment(line: TimedSegment, language: str) -> Segment:
    other = line.language if line.language != language else None
    return Segment(line.text, line.start, line.end, line.speaker, other)


def _fix_order(words: Sequence[Word], duration: float) -> list[Word]:
    """Return the words with times that never decrease and lie in ``[0, duration]``.

    Engines occasionally let a word end after the next one starts.
    """
    starts = list(accumulate((min(max(word.start, 0.0), duration) for word in words), max))
    bounds = [*starts, duration]
    return [
        Word(word.word, start, min(max(start, word.end), following))
        for word, (start, following) in zip(words, pairwise(bounds), strict=True)
    ]


def _join_words(words: Sequence[Word]) -> list[str]:
    return [word.word for word in words]
