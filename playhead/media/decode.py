"""Decoding of media files to PCM, in a sandboxed process (``sandbox.py``).

Times are those of playback: sample ``i`` of all blocks is at second ``i / RATE`` when the file is
played. A track that starts late or has gaps is filled with silence.

Everything that touches an untrusted byte is in ``sandboxed/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from playhead.core.audio import Pcm, Samples
from playhead.media import sandbox_messages
from playhead.media.limits import require_length
from playhead.media.sandbox import run_sandboxed

RATE: Final = sandbox_messages.RATE  # Hz


@dataclass(frozen=True, slots=True)
class AudioChannel:
    """The part of a file to decode: an audio track, and a channel or all channels mixed.

    Both are counted from 0; ``channel`` is None for the mix.
    """

    track: int = 0
    channel: int | None = None


MIXDOWN: Final = AudioChannel()


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """Sample rate in Hz, and the number of channels to mix to: one or two."""

    rate: int
    channels: int


def decode(path: Path, *, audio_channel: AudioChannel = MIXDOWN) -> Iterator[Samples]:
    """Decode a voice as 16 kHz mono blocks in ``[-1, 1]``, at most about ten seconds each.

    Damaged packets are left out; their time is silent. Raises ``EmptyFile`` (zero bytes, or no
    sample), ``NoAudioTrack`` (also if the requested track does not exist), ``TruncatedMedia`` (an
    MP4 without its index), ``UnreadableMedia``, ``DecodingTooCostly``, and ``DecoderUnavailable``.
    """
    blocks = _decode(path, audio_channel, PcmFormat(RATE, 1), 0.0, None)
    return (pcm[:, 0].astype(np.float32) / np.float32(32768) for pcm in blocks)


def decode_range(path: Path, form: PcmFormat, start: float, end: float) -> Iterator[Pcm]:
    """Decode the first audio track from second ``start`` to ``end``, as far as it goes.

    Blocks have at most about ten seconds. Raises the errors of ``decode``.
    """
    return _decode(path, MIXDOWN, form, start, end)


def _decode(
    path: Path, audio_channel: AudioChannel, form: PcmFormat, start: float, end: float | None
) -> Iterator[Pcm]:
    size_bytes, samples = path.stat().st_size, 0
    task = {"do": "decode", **asdict(audio_channel), **asdict(form), "start": start, "end": end}
    for kind, payload in run_sandboxed(path, task):
        if kind == "sound":
            count = len(payload) // (2 * form.channels)
            samples += count
            require_length(samples / form.rate, size_bytes)
            pcm = np.frombuffer(payload, dtype="<i2", count=count * form.channels)
            yield pcm.reshape(count, form.channels)
