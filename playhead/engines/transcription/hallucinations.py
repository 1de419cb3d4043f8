"""Detect and remove words that were not spoken, as pure functions.

Engines invent words in silence, repeat themselves, or return their prompt. Removed words are always
reported as ``DroppedSpeech``. ``piecewise.py`` repeats a request that gave a loop.
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

#: A word further than this from speech was not spoken: engines are off by less (p95 of their times:
#: 0.4 s), and silence only stays in a piece up to twice this distance.
MAX_WORD_DISTANCE_SECONDS: Final = 1.0

#: Minimum number of words in a loop, in which the same words (at most ``_MAX_LOOP_WORDS``) are
#: repeated; people repeat words three or four times.
_LOOP_WORDS: Final = 10
_MIN_LOOP_REPEATS: Final = 5
_MAX_LOOP_WORDS: Final = 12

#: Letters per second: auctioneers reach 25, fast Japanese 12.
_MAX_LETTERS_PER_SECOND: Final = 30

#: Minimum number of words of a segment that is contained in the prompt to count as the prompt.
_PROMPT_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Loop:
    """Words ``[start, end)`` that repeat the same ``period`` words."""

    start: int
    end: int
    period: int

    @property
    def repeats(self) -> int:
        """Return the number of repetitions."""
        return (self.end - self.start) // self.period


def find_loops(words: Sequence[Word]) -> list[Loop]:
    """Return the loops in which the same words occur at least five times in a row.

    Loops do not overlap.
    """
    letters = [count_letters(word.word) for word in words]
    found: list[Loop] = []
    for period in range(1, _MAX_LOOP_WORDS + 1):
        start = 0
        for equal, row in groupby(a == b for a, b in zip(letters, letters[period:], strict=False)):
            length = len(list(row))
            loop = Loop(start, start + length + period, period)
            start += length
            is_loop = loop.end - loop.start >= _LOOP_WORDS and loop.repeats >= _MIN_LOOP_REPEATS
            if equal and is_loop and not any(_overlap(loop, other) for other in found):
                found.append(loop)
    return sorted(found, key=lambda loop: loop.start)


def remove_loops(lines: Sequence[TimedSegment]) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Remove the repetitions of loops that are too fast to have been spoken.

    The first round of such a loop stays. Other loops stay and are reported, since people do count,
    chant and pray.
    """
    words = [word for line in lines for word in line.words]
    removed: dict[int, str] = {}
    reported: list[DroppedSpeech] = []
    for loop in find_loops(words):
        repeated = words[loop.start : loop.end]
        if _is_too_fast(repeated):
            reason = f"repeated {loop.repeats} times, faster than it can be spoken"
            removed |= dict.fromkeys(range(loop.start + loop.period, loop.end), reason)
        else:
            phrase = " ".join(word.word for word in repeated[: loop.period])
            reason = f"repeated {loop.repeats} times, kept: slow enough to be spoken"
            reported.append(DroppedSpeech(phrase, repeated[0].start, repeated[-1].end, reason))
    remaining, dropped = _remove(lines, lambda index, _: removed.get(index))
    return remaining, [*reported, *dropped]


def remove_silence(
    lines: Sequence[TimedSegment], speech: Sequence[TimeRange]
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Remove words without speech within ``MAX_WORD_DISTANCE_SECONDS``.

    ``speech`` are the time ranges with speech, in seconds.
    """

    def silent(_: int, word: Word) -> str | None:
        near = any(
            start - MAX_WORD_DISTANCE_SECONDS <= word.end
            and word.start <= end + MAX_WORD_DISTANCE_SECONDS
            for start, end in speech
        )
        return None if near else "no speech at this time"

    return _remove(lines, silent)


def remove_prompt(
    lines: Sequence[TimedSegment], prompt: str
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Remove segments that only repeat the prompt of the engine."""
    prompted = count_letters(prompt)
    echoes = [
        len(line.words) >= _PROMPT_WORDS and count_letters(line.text) in prompted for line in lines
    ]
    remaining = [line for line, echo in zip(lines, echoes, strict=True) if not echo]
    return remaining, [
        DroppedSpeech(line.text, line.start, line.end, "repeats the prompt")
        for line, echo in zip(lines, echoes, strict=True)
        if echo
    ]


def _overlap(loop: Loop, other: Loop) -> bool:
    return loop.start < other.end and other.start < loop.end


def _is_too_fast(words: Sequence[Word]) -> bool:
    letters = sum(len(count_letters(word.word)) for word in words)
    return letters > _MAX_LETTERS_PER_SECOND * (words[-1].end - words[0].start)


def _remove(
    lines: Sequence[TimedSegment], reason_of: Callable[[int, Word], str | None]
) -> tuple[list[TimedSegment], list[DroppedSpeech]]:
    """Remove the words for which ``reason_of`` returns a reason, by their index among all words.

    Returns the segments with the remaining words, and the removed words; consecutive words with the
    same reason are one entry.
    """
    remaining: list[TimedSegment] = []
    entries: list[tuple[str | None, Word]] = []
    first = 0
    for line in lines:
        reasons = [reason_of(first + i, word) for i, word in enumerate(line.words)]
        first += len(line.words)
        entries += zip(reasons, line.words, strict=True)
        shortened = line.with_only({i for i, reason in enumerate(reasons) if reason is None})
        remaining += [shortened] if shortened else []
    return remaining, list(_dropped(entries))


def _dropped(entries: Sequence[tuple[str | None, Word]]) -> Iterator[DroppedSpeech]:
    for reason, row in groupby(entries, key=lambda entry: entry[0]):
        words = [word for _, word in row]
        if reason is not None:
            text = " ".join(word.word for word in words)
            yield DroppedSpeech(text, words[0].start, words[-1].end, reason)
