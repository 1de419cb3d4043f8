"""The length that a file declares in its header, which may be wrong."""

from __future__ import annotations

import os
from typing import Final

import av

from playhead.media.limits import require_duration
from playhead.media.sandboxed.open_media import demuxer

#: Demuxers whose header states a length. For others FFmpeg guesses it from a bit rate or the end;
#: the length of the sound in an AVI is often wrong.
_STATE_LENGTH: Final = frozenset(
    {"aiff", "ape", "asf", "au", "caf", "flac", "flv", "matroska", "mov", "mp3", "tta"}
    | {"w64", "wav", "wv"}
)

_ENDLESS_BYTES: Final = 0x7FFF_0000  # RIFF sizes from here on are a recorder's placeholder


def declared_seconds(
    container: av.container.InputContainer, track: av.AudioStream, file: int
) -> float:
    """Return the length in seconds that the header declares, 0 if it declares none.

    Raises ``DecodingTooCostly`` if it is longer than a recording may be.
    """
    name = demuxer(container)
    if name not in _STATE_LENGTH or (name == "mp3" and not _mp3_declares_length(file)):
        return 0.0
    seconds = float((container.duration or 0) / av.time_base)
    if track.duration is not None:
        seconds = float(track.duration * track.time_base)
    require_duration(seconds, os.fstat(file).st_size)
    return seconds


def _mp3_declares_length(file: int) -> bool:
    """Return whether the first frame is a Xing or Info frame.

    Such a frame holds the number of frames of the file.
    """
    tag = os.pread(file, 10, 0)
    # ID3v2.4, 3.1: the size of the tag is four bytes of seven bits each, without these ten bytes
    size = sum((byte & 0x7F) << 7 * (9 - place) for place, byte in enumerate(tag) if place > 5)
    frame = os.pread(file, 1024, 10 + size if tag.startswith(b"ID3") else 0)
    return b"Xing" in frame or b"Info" in frame


def riff_size(file: int) -> int:
    """Return the size in bytes that a WAV or AVI declares, 0 for all other files.

    FFmpeg accepts a shorter file without an error.
    """
    head = os.pread(file, 8, 0)
    size = int.from_bytes(head[4:], "little")
    return size if head.startswith(b"RIFF") and size < _ENDLESS_BYTES else 0
