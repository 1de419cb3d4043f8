"""Our own samples as a file that people play, encoded as they come.

Here: the kinds of file a clip can be. Not here: reading files (``decode.py``), the FLAC that
providers are sent (``playhead/engines/transcription/flac.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from playhead.core.audio import Pcm
from playhead.media.decode import PcmFormat

_RATE: Final = 48_000  # Hz; all of Opus is, and more is for no ear


@dataclass(frozen=True, slots=True)
class Encoding:
    """FFmpeg's names of a container and an encoder. ``lossless`` ones keep the rate of the
    recording."""

    container: str
    encoder: str
    lossless: bool = False

    def pcm_format(self, rate: int, channels: int) -> PcmFormat:
        """As near to a recording with these as the encoding can have it."""
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
    """Write a file of these blocks, holding one of them at a time; how many samples it has. Raises
    ``OSError``."""
    layout = "mono" if form.channels == 1 else "stereo"
    samples = 0
    with av.open(str(path), "w", format=encoding.container) as container:
        stream = container.add_stream(encoding.encoder, rate=form.rate, layout=layout)
        for frame in _frames(blocks, form, layout):
            frame.pts, frame.time_base = samples, Fraction(1, form.rate)  # AAC would begin late
            samples += frame.samples
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return samples


def _frames(blocks: Iterable[Pcm], form: PcmFormat, layout: str) -> Iterator[av.AudioFrame]:
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = form.rate
        yield frame
