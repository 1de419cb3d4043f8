"""Synthetic transcripts: equal numbers give equal words, sentences and seconds."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import accumulate

from playhead.core.records import Segment, Transcript, Word

#: Mean and spread in words, each a token of ``embedder.HashEmbedder``: a tenth of the transcripts
#: is one window of 500/50 shorter than the others, 13.9 windows on average.
_LENGTH = (6_000, 78)

#: One transcript in so many is edited.
EDITED_ONE_IN = 100

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_VOCABULARY = 8_000
_SECONDS_PER_WORD = 0.4
_PAUSE_SECONDS = 0.6


def make_transcript(number: int) -> Transcript:
    """Return sentences of 3 to 40 made-up words with frequencies by Zipf's law.

    Each sentence is a segment. Times are rounded to hundredths, as engines give them.
    """
    rng = random.Random(number)
    remaining = round(rng.gauss(*_LENGTH))
    vocabulary, weights = _language()
    words: list[Word] = []
    segments: list[Segment] = []
    time = 0.0
    while remaining > 0:
        length = min(remaining, 40, max(3, round(rng.lognormvariate(2.6, 0.6))))
        sentence = rng.choices(vocabulary, cum_weights=weights, k=length)
        sentence[0], sentence[-1] = sentence[0].capitalize(), f"{sentence[-1]}."
        first = len(words)
        for word in sentence:
            words.append(Word(word, round(time, 2), round(time + 0.9 * _SECONDS_PER_WORD, 2)))
            time += _SECONDS_PER_WORD
        segments.append(Segment(" ".join(sentence), words[first].start, words[-1].end))
        time += _PAUSE_SECONDS
        remaining -= length
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, "en", round(time, 2), tuple(words), tuple(segments))


def make_edited(number: int) -> Transcript:
    """Return the transcript with another first word in its middle sentence."""
    before = make_transcript(number)
    at = len(before.segments) // 2
    index = sum(len(segment.text.split()) for segment in before.segments[:at])
    old = before.words[index].word
    new = "Corrected" + old[len(old.rstrip(".")) :]
    segments, words = list(before.segments), list(before.words)
    words[index] = replace(words[index], word=new)
    segments[at] = replace(segments[at], text=new + segments[at].text[len(old) :])
    text = " ".join(segment.text for segment in segments)
    return replace(before, text=text, words=tuple(words), segments=tuple(segments))


def edited_numbers(count: int) -> range:
    """Return the numbers of the edited ones among the first ``count``."""
    return range(EDITED_ONE_IN // 2, count, EDITED_ONE_IN)


@cache
def _language() -> tuple[list[str], list[float]]:
    """Return words and their cumulative weights."""
    rng = random.Random("language")
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        words["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))] = None
    return list(words), list(accumulate(1 / (rank + 2.7) for rank in range(_VOCABULARY)))
