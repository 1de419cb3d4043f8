"""Limits on decoding one recording, each with its reason.

They are generous to real files: a day of sound passes, silent or not. Both sides check them: the
sandboxed process, and its caller, which trusts nothing from the sandbox.
"""

from __future__ import annotations

from typing import Final

from playhead.core.errors import DecodingTooCostly

#: A day's recording, and a margin for a recorder's inaccurate clock.
MAX_SECONDS: Final = 25 * 3600.0

#: Seconds of sound that a file of any size may hold, and the bytes that each further second needs.
#: Silence in FLAC at 8 kHz takes 24 bytes per second, silent Opus 33, the lowest speech codecs 80.
#: A gap in a recording counts too: recordings of hours with pauses of hours are not supported.
_FREE_SECONDS: Final = 3600.0
_BYTES_PER_SECOND: Final = 4

#: Processor seconds that any file may take, and more for each second of sound. Opus takes 0.003,
#: the slowest lossless codecs 0.1 on a weak machine; with 0.25 decoding may cost as much as
#: transcribing it (Whisper) does.
_CPU_SECONDS: Final = 60
_CPU_PER_SECOND: Final = 0.25
MAX_CPU_SECONDS: Final = int(_CPU_SECONDS + _CPU_PER_SECOND * MAX_SECONDS)

#: Maximum time without a message from the sandbox: generous, because a slow disk on a loaded
#: machine is no reason to give up.
STALLED_AFTER_SECONDS: Final = 300.0

#: Address space in bytes. The interpreter with FFmpeg has 0.12 GiB; the index of a day of MP4 takes
#: 0.2 GiB.
MAX_MEMORY_BYTES: Final = 1 << 30

#: Maximum streams; FFmpeg's default is 1,000. A broadcast has a hundred; each costs memory to
#: inspect.
MAX_STREAMS: Final = 256

MAX_OPEN_FILES: Final = 16  # the media, FFmpeg's second handle on it, and the socket

_REMEDY: Final = (
    "If the recording is genuine, convert it to FLAC, MP3 or M4A, or split it into parts, and "
    "upload those."
)


def max_seconds(size_bytes: int) -> float:
    """Return the maximum seconds of sound that a file of this size may hold."""
    return min(MAX_SECONDS, _FREE_SECONDS + size_bytes / _BYTES_PER_SECOND)


def cpu_seconds(sound_seconds: float) -> int:
    """Return the processor seconds allowed for decoding that many seconds of sound."""
    return min(MAX_CPU_SECONDS, int(_CPU_SECONDS + _CPU_PER_SECOND * sound_seconds))


def require_duration(seconds: float, size_bytes: int) -> None:
    """Raise ``DecodingTooCostly`` if the declared duration is too long.

    It is checked before decoding. A duration that the file is too small for is ignored, because the
    header is then merely wrong.
    """
    if MAX_SECONDS < seconds <= size_bytes / _BYTES_PER_SECOND:
        raise decoding_too_costly(f"its header declares {seconds / 3600:.0f} hours")


def require_length(seconds: float, size_bytes: int) -> None:
    """Raise ``DecodingTooCostly`` if there is more sound than the file size allows."""
    if seconds > max_seconds(size_bytes):
        raise decoding_too_costly(
            f"more than {max_seconds(size_bytes) / 3600:.1f} hours of sound in {size_bytes} bytes"
        )


def decoding_too_costly(reason: str) -> DecodingTooCostly:
    return DecodingTooCostly(f"Decoding was stopped: {reason}.", remedy=_REMEDY)
