"""From a media file to sound, decoded by a process apart (``apart.py``).

The clock is that of playback: sample ``i`` of all blocks sounds at second ``i / RATE`` when a
person plays the file. A track that starts late or has holes is filled with silence.

Not here: facts about a file and whether it is whole (``probe.py``), where files are kept, and
everything that touches an untrusted byte (``inside/``).
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
    """What of a file is listened to: an audio track, counted from 0, and all of its channels
    mixed, or one of them, counted from 0."""

    track: int = 0
    channel: int | None = None


MIXDOWN: Final = AudioChannel()


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How sound is given: Hz, and mixed to one channel or two."""

    rate: int
    channels: int


def decode(path: Path, *, voice: AudioChannel = MIXDOWN) -> Iterator[Samples]:
    """A voice as 16 kHz mono blocks in ``[-1, 1]``, at most about ten seconds each. Damaged
    packets are left out; their time is silent. Raises ``EmptyFile`` (zero bytes, or not one
    sample), ``NoAudioTrack`` (or no such one), ``TruncatedMedia`` (an MP4 without its index),
    ``UnreadableMedia``, ``DecodingTooCostly``, and ``DecoderUnavailable``."""
    whole = _decode(path, voice, PcmFormat(RATE, 1), 0.0, None)
    return (pcm[:, 0].astype(np.float32) / np.float32(32768) for pcm in whole)


def decode_range(path: Path, form: PcmFormat, start: float, end: float) -> Iterator[Pcm]:
    """What sounds from second ``start`` to ``end`` of the first audio track, as far as there is
    any, in blocks of at most about ten seconds. Raises as ``decode``."""
    return _decode(path, MIXDOWN, form, start, end)


def _decode(
    path: Path, voice: AudioChannel, form: PcmFormat, start: float, end: float | None
) -> Iterator[Pcm]:
    size_bytes, samples = path.stat().st_size, 0
    task = {"do": "decode", **asdict(voice), **asdict(form), "start": start, "end": end}
    for kind, payload in run_sandboxed(path, task):
        if kind == "sound":
            count = len(payload) // (2 * form.channels)
            samples += count
            require_length(samples / form.rate, size_bytes)
            pcm = np.frombuffer(payload, dtype="<i2", count=count * form.channels)
            yield pcm.reshape(count, form.channels)
