"""Find quotes in excerpts and transcripts, with their times. Pure functions.

A quote matches if its words occur one after the other, regardless of case, white space and
punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from playhead.core.protocols.answerer import Excerpt, TimedSentence
from playhead.core.sentences import UNSPACED, Range
from playhead.transcripts.word_positions import TimedText

#: Minimum words of a quote: fewer prove nothing, unless they are a whole sentence.
MIN_WORDS: Final = 3
#: Maximum seconds by which a quote may have moved in a corrected transcript.
NEAR_SECONDS: Final = 5.0

# A single character in scripts without spaces, a word in all others.
_WORD: Final = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")
_DIGITS: Final = re.compile(r"\d+")


def find_quote(quote: str, excerpt: Excerpt) -> Range | None:
    """Return the range of characters of the quote in the excerpt.

    None if it does not occur or is too short to prove anything.
    """
    words = _words(quote)
    is_sentence = any(_words(line.text) == words for line in excerpt.lines)
    return (
        next(find_all(quote, excerpt.text), None)
        if is_sentence or len(words) >= MIN_WORDS
        else None
    )


def find_all(quote: str, text: str) -> Iterator[Range]:
    """Yield all ranges of characters in which the words of the quote occur in the text."""
    needle = _words(quote)
    matches = [*_WORD.finditer(text)]
    words = [_fold(word.group()) for word in matches]
    for at in range(len(words) - len(needle) + 1) if needle else ():
        if words[at] == needle[0] and words[at : at + len(needle)] == needle:
            yield matches[at].start(), matches[at + len(needle) - 1].end()


def quote_times(
    excerpt: Excerpt, quote_range: Range, transcript: TimedText | None
) -> tuple[float, float]:
    """Return the start and end in seconds of the words in a range of the excerpt.

    They come from the transcript's words, or from the sentence of the excerpt if the transcript is
    not the one that the excerpt was created from.
    """
    start, end = (excerpt.char_start + offset for offset in quote_range)
    if transcript and transcript.text[start:end] == excerpt.text[quote_range[0] : quote_range[1]]:
        [(first, last)] = transcript.timeline.seconds([(start, end)])
        if first is not None and last is not None:
            return first, last
    line = _line_at(excerpt, quote_range[0])
    return line.start_seconds, line.end_seconds


def find_quote_near(
    quote: str, seconds: float, transcript: TimedText
) -> tuple[float, float] | None:
    """Return the times of a quote in the current transcript, or None.

    It must occur within ``NEAR_SECONDS`` of ``seconds``; the nearest match is returned.
    """
    timeline = transcript.timeline
    rows = np.flatnonzero(np.abs(timeline.start_seconds - seconds) <= NEAR_SECONDS)
    if not len(rows):
        return None
    begin = int(timeline.char_starts[rows[0]])
    end = int(timeline.char_ends[rows[-1]]) + 2 * len(quote)
    ranges = [
        (begin + first, begin + last) for first, last in find_all(quote, transcript.text[begin:end])
    ]
    timed = [(a, b) for a, b in timeline.seconds(ranges) if a is not None and b is not None]
    near = [word for word in timed if abs(word[0] - seconds) <= NEAR_SECONDS]
    return min(near, key=lambda word: abs(word[0] - seconds), default=None)


def numbers_in(texts: Sequence[str]) -> set[str]:
    """Return all numbers written in digits; one that no source has is an invention."""
    return {
        unicodedata.normalize("NFKC", digits) for text in texts for digits in _DIGITS.findall(text)
    }


def _line_at(excerpt: Excerpt, char: int) -> TimedSentence:
    """Return the sentence that contains a character of the excerpt."""
    at = 0
    for line in excerpt.lines:
        at = max(at, excerpt.text.find(line.text, at)) + len(line.text)
        if char < at:
            return line
    return excerpt.lines[-1]


def _words(text: str) -> list[str]:
    return [_fold(word) for word in _WORD.findall(text)]


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()
