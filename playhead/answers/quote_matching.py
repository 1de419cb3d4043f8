"""Whether a quote was said, where, and when: what is checked before a citation is shown.

A quote stands in a text when its words do, one after the other, whatever the letters' case, the
white space and the punctuation. Pure. Not here: what is done with what does not stand
(``minutes.py``).
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

#: Fewer words prove nothing, unless they are all of a sentence.
MIN_WORDS: Final = 3
#: How far the words of a corrected transcript may have moved to be the same ones.
NEAR_SECONDS: Final = 5.0

# A character each of scripts that are written without spaces, a word of all others.
_WORD: Final = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")
_DIGITS: Final = re.compile(r"\d+")


def find_quote(quote: str, excerpt: Excerpt) -> Range | None:
    """The characters of the excerpt over which the quote stands; None where it does not, or says
    too little."""
    words = _words(quote)
    said = any(_words(line.text) == words for line in excerpt.lines)
    return next(find_all(quote, excerpt.text), None) if said or len(words) >= MIN_WORDS else None


def find_all(quote: str, text: str) -> Iterator[Range]:
    """All characters over which the words of the quote stand in the text."""
    wanted = _words(quote)
    found = [*_WORD.finditer(text)]
    there = [_fold(word.group()) for word in found]
    for at in range(len(there) - len(wanted) + 1) if wanted else ():
        if there[at] == wanted[0] and there[at : at + len(wanted)] == wanted:
            yield found[at].start(), found[at + len(wanted) - 1].end()


def quote_times(excerpt: Excerpt, stands: Range, spoken: TimedText | None) -> tuple[float, float]:
    """When the words over these characters were said: by the words of the transcript; by their
    sentence, where it is not the transcript that the excerpt was cut from."""
    start, end = (excerpt.char_start + edge for edge in stands)
    if spoken and spoken.text[start:end] == excerpt.text[stands[0] : stands[1]]:
        [(first, last)] = spoken.timeline.seconds([(start, end)])
        if first is not None and last is not None:
            return first, last
    line = _line_at(excerpt, stands[0])
    return line.start_seconds, line.end_seconds


def find_quote_near(quote: str, seconds: float, spoken: TimedText) -> tuple[float, float] | None:
    """When these words are said in a transcript as it is now, near where they were; None where they
    are not."""
    timeline = spoken.timeline
    rows = np.flatnonzero(np.abs(timeline.start_seconds - seconds) <= NEAR_SECONDS)
    if not len(rows):
        return None
    begin = int(timeline.char_starts[rows[0]])
    end = int(timeline.char_ends[rows[-1]]) + 2 * len(quote)
    found = [
        (begin + first, begin + last) for first, last in find_all(quote, spoken.text[begin:end])
    ]
    timed = [(a, b) for a, b in timeline.seconds(found) if a is not None and b is not None]
    near = [one for one in timed if abs(one[0] - seconds) <= NEAR_SECONDS]
    return min(near, key=lambda one: abs(one[0] - seconds), default=None)


def numbers_in(texts: Sequence[str]) -> set[str]:
    """What stands in digits; a number that is cited nowhere is an invention."""
    return {
        unicodedata.normalize("NFKC", digits) for text in texts for digits in _DIGITS.findall(text)
    }


def _line_at(excerpt: Excerpt, char: int) -> TimedSentence:
    """The sentence in which a character of the excerpt stands."""
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
