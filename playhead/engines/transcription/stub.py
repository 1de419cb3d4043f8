"""A transcriber that takes no time, for benchmarks of the pipeline itself and tests of flow.

It only reads the bytes of the file: the same bytes always give the same invented words, half a
second each. It implements the same protocol as the real transcribers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from playhead.core.protocols.transcriber import NO_CACHE, PieceCache, Progress
from playhead.core.records import FREE, Engine, Segment, SpeakerSource, Transcript, Word

_VOCABULARY = "amber birch cedar delta ember flint grove heron iris jade kelp larch".split()
_WORDS = 64
_SECONDS_PER_WORD = 0.5
_WORDS_PER_SENTENCE = 8


class StubTranscriber:
    """Transcriber that invents the same words for the same bytes."""

    price = FREE
    engine = Engine(name="stub", model="stub-1")

    def transcribe(
        self,
        media: Path,
        *,
        language: str | None,
        progress: Progress,
        speakers: SpeakerSource = "none",
        finished: PieceCache = NO_CACHE,
    ) -> Transcript:
        with media.open("rb") as file:
            seed = hashlib.file_digest(file, "sha512").digest()
        texts = [_VOCABULARY[seed[index] % len(_VOCABULARY)] for index in range(_WORDS)]
        for last in range(_WORDS_PER_SENTENCE - 1, _WORDS, _WORDS_PER_SENTENCE):
            texts[last] += "."
        words = tuple(
            Word(word, index * _SECONDS_PER_WORD, (index + 1) * _SECONDS_PER_WORD)
            for index, word in enumerate(texts)
        )
        duration = _WORDS * _SECONDS_PER_WORD
        progress(duration)
        text = " ".join(texts)
        return Transcript(text, language or "en", duration, words, (Segment(text, 0.0, duration),))
