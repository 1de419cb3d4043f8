"""Synthetic transcripts: the same number always gives the same words, sentences and seconds.

Here: what is cut and embedded by everybody in this benchmark. Not here: where each keeps it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import accumulate

from playhead.core.records import Segment, Transcript, Word

#: Words, each a token of ``embedder.HashEmbedder``: with this spread, a tenth of the transcripts
#: is one window of 500/50 shorter than the others, 13.9 windows on average.
_LENGTH = (6_000, 78)

#: One transcript in so many has another word after ``edited``.
EDITED_ONE_IN = 100

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_VOCABULARY = 8_000
_SECONDS_A_WORD = 0.4
_PAUSE_SECONDS = 0.6


def transcript(number: int) -> Transcript:
    """Sentences of 3 to 40 made-up words, frequent and rare ones as in a language (Zipf); a
    segment each. The times are rounded to hundredths, as engines give them."""
    dice = random.Random(number)
    left = round(dice.gauss(*_LENGTH))
    vocabulary, weights = _language()
    words: list[Word] = []
    segments: list[Segment] = []
    now = 0.0
    while left > 0:
        length = min(left, 40, max(3, round(dice.lognormvariate(2.6, 0.6))))
        said = dice.choices(vocabulary, cum_weights=weights, k=length)
        said[0], said[-1] = said[0].capitalize(), f"{said[-1]}."
        first = len(words)
        for word in said:
            words.append(Word(word, round(now, 2), round(now + 0.9 * _SECONDS_A_WORD, 2)))
            now += _SECONDS_A_WORD
        segments.append(Segment(" ".join(said), words[first].start, words[-1].end))
        now += _PAUSE_SECONDS
        left -= length
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, "en", round(now, 2), tuple(words), tuple(segments))


def edited(number: int) -> Transcript:
    """The transcript with the first word of its middle sentence heard anew."""
    before = transcript(number)
    at = len(before.segments) // 2
    place = sum(len(segment.text.split()) for segment in before.segments[:at])
    old = before.words[place].word
    new = "Corrected" + old[len(old.rstrip(".")) :]
    segments, words = list(before.segments), list(before.words)
    words[place] = replace(words[place], word=new)
    segments[at] = replace(segments[at], text=new + segments[at].text[len(old) :])
    text = " ".join(segment.text for segment in segments)
    return replace(before, text=text, words=tuple(words), segments=tuple(segments))


def to_edit(count: int) -> range:
    """The numbers of those that are edited among the first ``count``."""
    return range(EDITED_ONE_IN // 2, count, EDITED_ONE_IN)


@cache
def _language() -> tuple[list[str], list[float]]:
    """Words and their cumulative weights."""
    dice = random.Random("language")
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        words["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 4)))] = None
    return list(words), list(accumulate(1 / (rank + 2.7) for rank in range(_VOCABULARY)))
