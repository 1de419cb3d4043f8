"""Split long audio into pieces at pauses, without its long silences.

Silero (part of faster-whisper) detects speech. Its result is used with a wide margin: ordinary
pauses stay, so that a model receives natural speech, and only silence in which it might invent
words is removed. Every piece stores the positions of its sound in the recording.
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
OVERLAP_SECONDS: Final = 4  # shared by both pieces if there is no pause: about ten words

_VAD: Final = VadOptions(
    threshold=SPEECH_THRESHOLD,
    min_speech_duration_ms=100,
    min_silence_duration_ms=100,
    speech_pad_ms=0,
)

Span = tuple[int, int]  # samples [start, end)


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """A part of a recording.

    ``sound`` is the concatenation of the sample ranges ``kept`` of the recording; both are empty
    without speech. ``speech`` are the sample ranges of ``sound`` with speech. ``end`` is the sample
    at which the piece ends. The next piece starts there, or ``overlap`` samples earlier if there
    was no pause.
    """

    sound: Samples
    ranges: tuple[Span, ...]
    speech: tuple[Span, ...]
    end: int
    overlap: int = 0


def split_at_pauses(blocks: Iterable[Samples], max_seconds: float) -> Iterator[AudioPiece]:
    """Split blocks of sound into pieces of at most ``max_seconds``, at pauses.

    The pieces cover the sound. Without a pause, the next piece repeats the end of the previous one.
    Shorter sound is one piece.
    """
    size, start, buffer = round(max_seconds * RATE), 0, np.empty(0, dtype=np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while len(buffer) > size:
            speech = _speech(buffer[:size])
            cut = _cut(speech, size)
            overlap = min(OVERLAP_SECONDS * RATE, size // 4) if cut is None else 0
            cut = size if cut is None else cut
            piece_speech = [(first, min(last, cut)) for first, last in speech if first < cut]
            yield _build_piece(buffer[:cut], piece_speech, start, overlap)
            start, buffer = start + cut - overlap, buffer[cut - overlap :]
    yield _build_piece(buffer, _speech(buffer), start, 0)


def _speech(sound: Samples) -> list[Span]:
    """Return the sample ranges with speech, at least a tenth of a second apart."""
    return [(span["start"], span["end"]) for span in get_speech_timestamps(sound, _VAD)]


def _cut(speech: list[Span], size: int) -> int | None:
    """Return the sample at which to split: the middle of the longest pause in the second half.

    Without a pause there it is the middle of the last pause, or None if there is no pause at all.
    """
    edges = [0, *(sample for span in speech for sample in span), size]
    pauses = [
        (end - start, (start + end) // 2)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if end > start and start + end > size // 5
    ]
    late = [pause for pause in pauses if 2 * pause[1] >= size]
    candidates = late or pauses[-1:]
    return max(candidates)[1] if candidates else None


def _build_piece(sound: Samples, speech: list[Span], start: int, overlap: int) -> AudioPiece:
    ranges = _widen(speech, len(sound))
    return AudioPiece(
        sound=np.concatenate([sound[:0], *(sound[first:last] for first, last in ranges)]),
        ranges=tuple((start + first, start + last) for first, last in ranges),
        speech=tuple(_within(ranges, speech)),
        end=start + len(sound),
        overlap=overlap,
    )


def _within(ranges: list[Span], speech: list[Span]) -> Iterator[Span]:
    """Yield the ranges of speech within the concatenated ``ranges``."""
    offset = 0
    for first, last in ranges:
        yield from (
            (offset + start - first, offset + end - first)
            for start, end in speech
            if first <= start < last
        )
        offset += last - first


def _widen(speech: list[Span], size: int) -> list[Span]:
    """Return the ranges of speech with their margins; ranges that then touch are merged."""
    ranges: list[Span] = []
    for first, last in speech:
        first, last = max(0, first - MARGIN_SECONDS * RATE), min(size, last + MARGIN_SECONDS * RATE)
        if ranges and first <= ranges[-1][1]:
            first, _ = ranges.pop()
        ranges.append((first, last))
    return ranges
