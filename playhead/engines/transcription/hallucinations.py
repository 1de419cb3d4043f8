"""Against words that nobody said: engines invent them in silence, repeat themselves, or say what
they were prompted with.

Here: pure functions that find such words. What is taken away is told of, never silently. Not here:
asking an engine again (``piecewise.py``), where silence is (``silence.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from playhead.core.records import DroppedSpeech, Word
from playhead.engines.transcription.timed_segments import TimedSegment
from playhead.engines.transcription.word_times import TimeRange
from playhead.transcripts.alignment import count_letters

#: A word further than this from speech was not said: engines are off by less (their times p95:
#: 0.4 s), and silence is only kept up to twice as far.
MAX_WORD_DISTANCE_SECONDS: Final = 1.0

#: As many words in a row are a loop where the same up to ``_LONGEST_TURN`` come again and again;
#: people say a thing three or four times.
_LOOP_WORDS: Final = 10
_MIN_LOOP_REPEATS: Final = 5
_MAX_LOOP_WORDS: Final = 12

#: Letters a second: auctioneers say 25, Japanese spoken fast 12.
_MAX_LETTERS_PER_SECOND: Final = 30

#: A line of so many words that stands in the prompt is the prompt.
_PROMPT_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Loop:
    """Words ``[start, end)``, of which each ``turn`` says the same."""

    start: int
    end: int
    turn: int

    @property
    def repeats(self) -> int:
        return (self.end - self.start) // self.turn


def find_loops(words: Sequence[Word]) -> list[Loop]:
    """Where the same words come at least five times in a row; loops do not overlap."""
    said = [count_letters(word.word) for word in words]
    found: list[Loop] = []
    for turn in range(1, _MAX_LOOP_WORDS + 1):
        at = 0
        for again, row in groupby(a == b for a, b in zip(said, said[turn:], strict=False)):
            length = len(list(row))
            loop = Loop(at, at + length + turn, turn)
            at += length
            enough = loop.end - loop.start >= _LOOP_WORDS and loop.repeats >= _MIN_LOOP_REPEATS
            if again and enough and not any(_overlap(loop, other) for other in found):
                found.append(loop)
    return sorted(found, key=lambda loop: loop.start)


def remove_loops(lines: Sequence[TimedSegment]) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Of a loop that says more than its time allows the first turn alone stays. Others stay, and
    are told of: people do count, chant and pray."""
    words = [word for line in lines for word in line.words]
    gone: dict[int, str] = {}
    told: list[DroppedSpeech] = []
    for loop in find_loops(words):
        stretch = words[loop.start : loop.end]
        if _is_too_fast(stretch):
            reason = f"the same {loop.repeats} times, more than its time allows"
            gone |= dict.fromkeys(range(loop.start + loop.turn, loop.end), reason)
        else:
            once = " ".join(word.word for word in stretch[: loop.turn])
            reason = f"the same {loop.repeats} times, kept: its time allows it"
            told.append(DroppedSpeech(once, stretch[0].start, stretch[-1].end, reason))
    kept, dropped = _remove(lines, lambda index, _: gone.get(index))
    return kept, [*told, *dropped]


def remove_silence(
    lines: Sequence[TimedSegment], speech: Sequence[TimeRange]
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Without words that lie where nobody speaks for a second around."""

    def silent(_: int, word: Word) -> str | None:
        near = any(
            start - MAX_WORD_DISTANCE_SECONDS <= word.end
            and word.start <= end + MAX_WORD_DISTANCE_SECONDS
            for start, end in speech
        )
        return None if near else "nobody speaks there"

    return _remove(lines, silent)


def remove_prompt(
    lines: Sequence[TimedSegment], prompt: str
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Without lines that only repeat what the engine was prompted with."""
    prompted = count_letters(prompt)
    echoes = [
        len(line.words) >= _PROMPT_WORDS and count_letters(line.text) in prompted for line in lines
    ]
    kept = [line for line, echo in zip(lines, echoes, strict=True) if not echo]
    return kept, [
        DroppedSpeech(line.text, line.start, line.end, "it is the prompt")
        for line, echo in zip(lines, echoes, strict=True)
        if echo
    ]


def _overlap(one: Loop, other: Loop) -> bool:
    return one.start < other.end and other.start < one.end


def _is_too_fast(words: Sequence[Word]) -> bool:
    said = sum(len(count_letters(word.word)) for word in words)
    return said > _MAX_LETTERS_PER_SECOND * (words[-1].end - words[0].start)


def _remove(
    lines: Sequence[TimedSegment], why: Callable[[int, Word], str | None]
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """The lines without words for which there is a reason, by their index among all; and those,
    each row with the same reason as one."""
    kept: list[TimedSegment] = []
    gone: list[tuple[str | None, Word]] = []
    first = 0
    for line in lines:
        reasons = [why(first + i, word) for i, word in enumerate(line.words)]
        first += len(line.words)
        gone += zip(reasons, line.words, strict=True)
        stays = line.with_only({i for i, reason in enumerate(reasons) if reason is None})
        kept += [stays] if stays else []
    return kept, list(_dropped(gone))


def _dropped(gone: Sequence[tuple[str | None, Word]]) -> Iterator[DroppedSpeech]:
    for reason, row in groupby(gone, key=lambda one: one[0]):
        words = [word for _, word in row]
        if reason is not None:
            text = " ".join(word.word for word in words)
            yield DroppedSpeech(text, words[0].start, words[-1].end, reason)
