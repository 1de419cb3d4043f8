"""Long sound cut into pieces at pauses, without its long silences.

Silero (inside faster-whisper) says where somebody speaks. Its answer is used with a wide margin:
ordinary pauses stay, so that a model hears speech as it was, and only silence in which it might
invent words goes. Every piece knows where its sound was.

Not here: decoding a file (``media/decode.py``) and turning sound into words (``whisper.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps

from playhead.core.audio import Samples
from playhead.media.decode import RATE

SPEECH_THRESHOLD: Final = 0.35  # Silero's default is 0.5; lower, so that no faint word is lost
MARGIN_SECONDS: Final = 2  # silence this near to speech stays
OVERLAP_SECONDS: Final = 4  # both pieces have this much where nobody pauses: some ten words

_VAD: Final = VadOptions(
    threshold=SPEECH_THRESHOLD,
    min_speech_duration_ms=100,
    min_silence_duration_ms=100,
    speech_pad_ms=0,
)

Span = tuple[int, int]  # samples [start, end)


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """A stretch of a recording. ``sound`` is what was at the samples ``kept`` of the recording,
    one after the other; both are empty where nobody speaks. ``speech`` is where in ``sound``
    somebody does. ``end`` is the sample at which the piece ends; the next one begins there, or
    ``overlap`` samples before where nobody paused."""

    sound: Samples
    kept: tuple[Span, ...]
    speech: tuple[Span, ...]
    end: int
    overlap: int = 0


def split_at_pauses(blocks: Iterable[Samples], longest: float) -> Iterator[AudioPiece]:
    """Sound in blocks to pieces that cover it, each of at most ``longest`` seconds and cut
    where somebody pauses. Where nobody does, a piece has the end of the one before once more.
    What is shorter is one piece."""
    size, start, held = round(longest * RATE), 0, np.empty(0, dtype=np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > size:
            speech = _speech(held[:size])
            cut = _cut(speech, size)
            overlap = min(OVERLAP_SECONDS * RATE, size // 4) if cut is None else 0
            cut = size if cut is None else cut
            heard = [(first, min(last, cut)) for first, last in speech if first < cut]
            yield _build_piece(held[:cut], heard, start, overlap)
            start, held = start + cut - overlap, held[cut - overlap :]
    yield _build_piece(held, _speech(held), start, 0)


def _speech(sound: Samples) -> list[Span]:
    """Where somebody speaks; spans apart by at least a tenth of a second."""
    return [(span["start"], span["end"]) for span in get_speech_timestamps(sound, _VAD)]


def _cut(speech: list[Span], size: int) -> int | None:
    """The middle of the longest pause in the second half of the sound; of the last one where
    there is none; None where nobody pauses at all."""
    edges = [0, *(sample for span in speech for sample in span), size]
    pauses = [
        (end - start, (start + end) // 2)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if end > start and start + end > size // 5
    ]
    late = [pause for pause in pauses if 2 * pause[1] >= size]
    chosen = late or pauses[-1:]
    return max(chosen)[1] if chosen else None


def _build_piece(sound: Samples, speech: list[Span], start: int, overlap: int) -> AudioPiece:
    kept = _widen(speech, len(sound))
    return AudioPiece(
        sound=np.concatenate([sound[:0], *(sound[first:last] for first, last in kept)]),
        kept=tuple((start + first, start + last) for first, last in kept),
        speech=tuple(_within(kept, speech)),
        end=start + len(sound),
        overlap=overlap,
    )


def _within(kept: list[Span], speech: list[Span]) -> Iterator[Span]:
    """Where the speech is in what was kept, one stretch after the other."""
    offset = 0
    for first, last in kept:
        yield from (
            (offset + start - first, offset + end - first)
            for start, end in speech
            if first <= start < last
        )
        offset += last - first


def _widen(speech: list[Span], size: int) -> list[Span]:
    """The spans of speech with their margins, those that then touch as one."""
    kept: list[Span] = []
    for first, last in speech:
        first, last = max(0, first - MARGIN_SECONDS * RATE), min(size, last + MARGIN_SECONDS * RATE)
        if kept and first <= kept[-1][1]:
            first, _ = kept.pop()
        kept.append((first, last))
    return kept
