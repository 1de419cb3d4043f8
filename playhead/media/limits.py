"""What decoding one recording may take, each limit with its reason.

Generous to honest files: a day of sound passes, silent or not. Held by both sides: inside, where
the work is done, and outside, which believes nothing that comes from there.
"""

from __future__ import annotations

from typing import Final

from playhead.core.errors import DecodingTooCostly

#: A day's recording, and what a recorder's clock is wrong by.
MAX_SECONDS: Final = 25 * 3600.0

#: Sound that a file of any size may hold, and the bytes that each further second needs. Silence
#: in FLAC at 8 kHz takes 24 bytes a second, silent Opus 33, the lowest speech codecs 80. A hole
#: in a recording counts too: a pause of hours in a recording of hours is none of our business.
_FREE_SECONDS: Final = 3600.0
_BYTES_PER_SECOND: Final = 4

#: Processor seconds: what any file may take, and more for each second of sound. Opus takes 0.003,
#: the slowest of lossless codecs 0.1 on a weak machine; with 0.25 decoding may cost as much as
#: listening to it (Whisper) does.
_CPU_SECONDS: Final = 60
_CPU_PER_SECOND: Final = 0.25
MAX_CPU_SECONDS: Final = int(_CPU_SECONDS + _CPU_PER_SECOND * MAX_SECONDS)

#: Without a word from inside: a slow disk under a loaded machine is no reason to give up.
STALLED_AFTER_SECONDS: Final = 300.0

#: Address space. The interpreter with FFmpeg has 0.12 GiB; the index of a day of MP4 takes 0.2.
MAX_MEMORY_BYTES: Final = 1 << 30

#: FFmpeg's own default is 1,000. A broadcast has a hundred; each costs memory to look at.
MAX_STREAMS: Final = 256

MAX_OPEN_FILES: Final = 16  # the media, FFmpeg's second handle on it, and the way out

_REMEDY: Final = (
    "If the recording is a real one, convert it to FLAC, MP3 or M4A, or cut it into parts, and "
    "upload that."
)


def max_seconds(size_bytes: int) -> float:
    """Seconds of sound that a file of this size may hold."""
    return min(MAX_SECONDS, _FREE_SECONDS + size_bytes / _BYTES_PER_SECOND)


def cpu_seconds(sound_seconds: float) -> int:
    """Processor seconds that it may have taken to get so far."""
    return min(MAX_CPU_SECONDS, int(_CPU_SECONDS + _CPU_PER_SECOND * sound_seconds))


def require_duration(seconds: float, size_bytes: int) -> None:
    """Of what a header says, before it is tried; one that the file is too small for is only
    wrong. Raises ``DecodingTooCostly``."""
    if MAX_SECONDS < seconds <= size_bytes / _BYTES_PER_SECOND:
        raise decoding_too_costly(f"its header says {seconds / 3600:.0f} hours")


def require_length(seconds: float, size_bytes: int) -> None:
    """Raises ``DecodingTooCostly``."""
    if seconds > max_seconds(size_bytes):
        raise decoding_too_costly(
            f"more than {max_seconds(size_bytes) / 3600:.1f} hours of sound in {size_bytes} bytes"
        )


def decoding_too_costly(what: str) -> DecodingTooCostly:
    return DecodingTooCostly(f"Decoding was ended: {what}.", remedy=_REMEDY)
