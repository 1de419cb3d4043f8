"""A piece of sound as a file to send: FLAC, in memory; what is heard there is what was cut here.

Not here: reading files (``playhead/media``).
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

import av
import numpy as np

from playhead.core.audio import Samples
from playhead.media.decode import RATE

#: Most that a second can take: 16 bits a sample, and the frames around them. Noise takes it all.
FLAC_BYTES_PER_SECOND: Final = round(RATE * 2 * 1.01)


def encode_flac(sound: Samples) -> bytes:
    """``sound``: 16 kHz, mono, in ``[-1, 1]``; as 16 bits a sample."""
    file = BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        for frame in (_frame(sound), None):
            for packet in stream.encode(frame):
                container.mux(packet)
    return file.getvalue()


def _frame(sound: Samples) -> av.AudioFrame:
    whole = np.rint(np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(whole[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    return frame
