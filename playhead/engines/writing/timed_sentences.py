"""The sentences of a transcript with their times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from playhead.core.records import Segment, Transcript, Word
from playhead.core.sentences import split_multilingual
from playhead.core.text import one_line
from playhead.transcripts.word_positions import language_runs

_MAX_CHARACTERS = 400  # of a sentence; speech recognition may leave out all punctuation


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence as one line of text, never empty, with its times in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Anchors:
    """Character ranges and times of the words in the text, in order.

    Without words they are those of the segments.
    """

    char_starts: list[int]
    char_ends: list[int]
    starts: list[float]
    ends: list[float]

    def between(self, begin: int, end: int) -> tuple[int, int]:
        """Return the anchors ``[first, last)`` that overlap the characters ``[begin, end)``."""
        return bisect_right(self.char_ends, begin), bisect_left(self.char_starts, end)


def timed_sentences(transcript: Transcript) -> list[SpokenSentence]:
    """Return the sentences of the whole text, in order.

    Times never decrease and lie within the recording.
    """
    anchors = _anchors(transcript)
    duration = transcript.duration_seconds
    timed = []
    latest = 0.0
    for begin, end in _pieces(transcript, anchors):
        if text := one_line(transcript.text[begin:end]):
            first, last = anchors.between(begin, end)
            if first < last:
                start, stop = anchors.starts[first], anchors.ends[last - 1]
            else:  # no word of its own: between its neighbours
                start = anchors.ends[first - 1] if first else 0.0
                stop = anchors.starts[last] if last < len(anchors.starts) else duration
            start = min(max(start, latest), duration)
            latest = start
            timed.append(SpokenSentence(text, start, min(max(stop, start), duration)))
    return timed


def _anchors(transcript: Transcript) -> _Anchors:
    anchors = _Anchors([], [], [], [])
    position = 0
    for item in transcript.words or transcript.segments:
        text = _text(item).strip()
        found = transcript.text.find(text, position) if text else -1
        if found >= 0:
            position = found + len(text)
            anchors.char_starts.append(found)
            anchors.char_ends.append(position)
            anchors.starts.append(item.start)
            anchors.ends.append(item.end)
    return anchors


def _text(item: Word | Segment) -> str:
    return item.word if isinstance(item, Word) else item.text


def _pieces(transcript: Transcript, anchors: _Anchors) -> Iterator[tuple[int, int]]:
    """Yield the character ranges of sentences, in order, with overlong ones split.

    The ranges cover the whole text.
    """
    waiting = [*reversed(split_multilingual(transcript.text, language_runs(transcript)))]
    while waiting:
        begin, end = waiting.pop()
        cut = _cut(begin, end, anchors) if end - begin > _MAX_CHARACTERS else None
        if cut is None:
            yield begin, end
        else:
            waiting += [(cut, end), (begin, cut)]


def _cut(begin: int, end: int, anchors: _Anchors) -> int | None:
    """Return where to split an overlong sentence: at the longest pause in its middle half.

    Returns None if no word starts there.
    """
    quarter = (end - begin) // 4
    first, last = anchors.between(begin + quarter, end - quarter)
    inside = [i for i in range(max(first, 1), last) if begin < anchors.char_starts[i]]
    if not inside:
        return None
    middle = (begin + end) // 2
    best = max(
        inside,
        key=lambda i: (
            anchors.starts[i] - anchors.ends[i - 1],
            -abs(anchors.char_starts[i] - middle),
        ),
    )
    return anchors.char_starts[best]


def spoken_seconds(sentences: Sequence[SpokenSentence]) -> tuple[float, float]:
    """Return the start and end of the sentences in seconds; there must be at least one."""
    return sentences[0].start, max(sentence.end for sentence in sentences)
