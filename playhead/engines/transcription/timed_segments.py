"""Lines: what is said in one go, together with the words and their times.

Here: taking transcripts apart into lines, and making one of lines, with times in order. Not here:
where times come from (``clock.py``), which words go (``guards.py``, ``joining.py``).
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
    """A segment by its words; there is one at least, and each stands in ``text`` in order."""

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

    def with_only(self, kept: AbstractSet[int]) -> TimedSegment | None:
        """The line with these of its words, by index, and what stands behind each; None with
        none of them."""
        if len(kept) == len(self.words):
            return self
        text = "".join(part for i, part in enumerate(self._parts()) if i in kept).strip()
        words = tuple(word for i, word in enumerate(self.words) if i in kept)
        return replace(self, text=text, words=words) if words else None

    def _parts(self) -> Iterator[str]:
        """The text by its words, each with all up to the next."""
        starts = [start for start, _ in locate_words(self.text, _join_words(self.words)).values()]
        edges = [0, *starts[1:], len(self.text)]
        return (self.text[start:end] for start, end in pairwise(edges))


def timed_segments(segments: Sequence[Segment], words: Sequence[Word]) -> list[TimedSegment]:
    """Segments with the words that stand in each; without those that then have none."""
    texts = [segment.text.strip() for segment in segments]
    starts = [0, *accumulate(len(text) + 1 for text in texts)][:-1]
    said: list[list[Word]] = [[] for _ in segments]
    for i, (at, _) in locate_words(" ".join(texts), _join_words(words)).items():
        said[bisect_right(starts, at) - 1].append(words[i])
    return [
        TimedSegment(text, tuple(spoken), segment.speaker, segment.language)
        for text, spoken, segment in zip(texts, said, segments, strict=True)
        if spoken
    ]


def build_transcript(lines: Iterable[TimedSegment], language: str, duration: float) -> Transcript:
    """Of lines in the order they were said. Times are put in order and inside the sound; a
    line says its language where that is not ``language``."""
    said = list(lines)
    words = iter(_fix_order([word for line in said for word in line.words], duration))
    timed = [replace(line, words=tuple(islice(words, len(line.words)))) for line in said]
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
    """The same words with times that never decrease and lie in ``[0, duration]``. Engines now
    and then let a word end after the next one begins."""
    starts = list(accumulate((min(max(word.start, 0.0), duration) for word in words), max))
    bounds = [*starts, duration]
    return [
        Word(word.word, start, min(max(start, word.end), following))
        for word, (start, following) in zip(words, pairwise(bounds), strict=True)
    ]


def _join_words(words: Sequence[Word]) -> list[str]:
    return [word.word for word in words]
