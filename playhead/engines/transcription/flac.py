"""Encode a piece of audio as a FLAC file in memory, to send it without loss."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import av
import numpy as np

from playhead.core.audio import Samples
from playhead.media.decode import RATE

#: Maximum bytes per second: 16 bits per sample, and the frames around them. Noise needs all of it.
FLAC_BYTES_PER_SECOND: Final = round(RATE * 2 * 1.01)


def encode_flac(sound: Samples) -> bytes:
    """Return ``sound`` as a FLAC file with 16 bits per sample.

    ``sound`` is 16 kHz mono in ``[-1, 1]``.
    """
    file = BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        for frame in (_frame(sound), None):
            for packet in stream.encode(frame):
                container.mux(packet)
    return file.getvalue()


def _frame(sound: Samples) -> av.AudioFrame:
    samples = np.rint(np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    return frame
