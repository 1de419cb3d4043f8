"""Long speech without sound: transcripts for whoever needs more words than the clips have."""

from __future__ import annotations

import random
from itertools import accumulate

from playhead.core.records import Segment, Transcript, Word

_SYLLABLES = "ba den fi gor ku lam me nis po rat su tel".split()
_VOCABULARY = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
#: Zipf's law, as in any language: a few words are frequent, most are rare.
_FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(_VOCABULARY) + 1)))


def talk(number: int, sentences: int) -> Transcript:
    """One speaker, some twelve words and five seconds a sentence; another talk for each number."""
    dice = random.Random(number)
    words: list[Word] = []
    segments: list[Segment] = []
    at = 0.0
    for _ in range(sentences):
        spoken = dice.choices(_VOCABULARY, cum_weights=_FREQUENCIES, k=dice.randint(5, 20))
        text = " ".join(spoken).capitalize() + "."
        begun = at
        for word in text.split():
            words.append(Word(word, at, at + 0.4))
            at += 0.4
        segments.append(Segment(text, begun, at))
        at += 0.6
    return Transcript(" ".join(s.text for s in segments), "en", at, tuple(words), tuple(segments))
