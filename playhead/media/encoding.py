"""Encode samples as playable audio files, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from playhead.core.audio import Pcm
from playhead.media.decode import PcmFormat

_RATE: Final = 48_000  # Hz; that of all Opus files, and more than can be heard


@dataclass(frozen=True, slots=True)
class Encoding:
    """The FFmpeg names of a container and an encoder.

    A ``lossless`` encoding keeps the sample rate of the recording, up to 48 kHz.
    """

    container: str
    encoder: str
    lossless: bool = False

    def pcm_format(self, rate: int, channels: int) -> PcmFormat:
        """Return the format closest to a recording that the encoding supports."""
        own = self.lossless and rate <= _RATE
        return PcmFormat(rate if own else _RATE, min(channels, 2))


ENCODINGS: Final = {
    ".opus": Encoding("ogg", "libopus"),
    ".m4a": Encoding("ipod", "aac"),
    ".mp3": Encoding("mp3", "libmp3lame"),
    ".flac": Encoding("flac", "flac", lossless=True),
    ".wav": Encoding("wav", "pcm_s16le", lossless=True),
}


def encode(path: Path, encoding: Encoding, form: PcmFormat, blocks: Iterable[Pcm]) -> int:
    """Write a file of these blocks, and return its number of samples.

    Only one block is in memory at a time. Raises ``OSError`` if the file cannot be written.
    """
    layout = "mono" if form.channels == 1 else "stereo"
    samples = 0
    with av.open(str(path), "w", format=encoding.container) as container:
        stream = container.add_stream(encoding.encoder, rate=form.rate, layout=layout)
        for frame in _frames(blocks, form, layout):
            frame.pts, frame.time_base = (
                samples,
                Fraction(1, form.rate),
            )  # otherwise AAC begins late
            samples += frame.samples
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return samples


def _frames(blocks: Iterable[Pcm], form: PcmFormat, layout: str) -> Iterator[av.AudioFrame]:
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = form.rate
        yield frame
