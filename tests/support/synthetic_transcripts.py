"""Transcripts of long talks without sound, for tests that need more words than the clips have."""

from __future__ import annotations

import random
from itertools import accumulate

from playhead.core.records import Segment, Transcript, Word

_SYLLABLES = "ba den fi gor ku lam me nis po rat su tel".split()
_VOCABULARY = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
#: Zipf's law, as in any language: a few words are frequent, most are rare.
_FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(_VOCABULARY) + 1)))


def make_talk(number: int, sentences: int) -> Transcript:
    """Return one speaker's talk, chosen by ``number``; a sentence has about 12 words and 5 s."""
    rng = random.Random(number)
    words: list[Word] = []
    segments: list[Segment] = []
    at = 0.0
    for _ in range(sentences):
        words_ = rng.choices(_VOCABULARY, cum_weights=_FREQUENCIES, k=rng.randint(5, 20))
        text = " ".join(words_).capitalize() + "."
        start = at
        for word in text.split():
            words.append(Word(word, at, at + 0.4))
            at += 0.4
        segments.append(Segment(text, start, at))
        at += 0.6
    return Transcript(" ".join(s.text for s in segments), "en", at, tuple(words), tuple(segments))
