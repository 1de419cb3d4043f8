"""What a file says of its own length, which may be wrong.

Not here: what is there in truth (``facts.py``).
"""

from __future__ import annotations

import os
from typing import Final

import av

from playhead.media.limits import require_duration
from playhead.media.sandboxed.open_media import demuxer

#: Demuxers whose header states a length. Of others FFmpeg guesses it from a bit rate or the end;
#: what an AVI says of its sound is often wrong.
_STATE_LENGTH: Final = frozenset(
    {"aiff", "ape", "asf", "au", "caf", "flac", "flv", "matroska", "mov", "mp3", "tta"}
    | {"w64", "wav", "wv"}
)

_ENDLESS_BYTES: Final = 0x7FFF_0000  # RIFF sizes from here on are a recorder's placeholder


def declared_seconds(
    container: av.container.InputContainer, track: av.AudioStream, file: int
) -> float:
    """How long the header says the file is; 0 where it says nothing. Raises
    ``DecodingTooCostly`` for more than a recording may be."""
    name = demuxer(container)
    if name not in _STATE_LENGTH or (name == "mp3" and not _mp3_declares_length(file)):
        return 0.0
    seconds = float((container.duration or 0) / av.time_base)
    if track.duration is not None:
        seconds = float(track.duration * track.time_base)
    require_duration(seconds, os.fstat(file).st_size)
    return seconds


def _mp3_declares_length(file: int) -> bool:
    """Whether the first frame is a Xing or Info one, which counts the frames of the file."""
    tag = os.pread(file, 10, 0)
    # ID3v2.4, 3.1: the tag's size is four bytes of seven bits each, without these ten
    size = sum((byte & 0x7F) << 7 * (9 - place) for place, byte in enumerate(tag) if place > 5)
    frame = os.pread(file, 1024, 10 + size if tag.startswith(b"ID3") else 0)
    return b"Xing" in frame or b"Info" in frame


def riff_size(file: int) -> int:
    """The bytes a WAV or AVI says it has, 0 for all else; FFmpeg quietly takes fewer."""
    head = os.pread(file, 8, 0)
    size = int.from_bytes(head[4:], "little")
    return size if head.startswith(b"RIFF") and size < _ENDLESS_BYTES else 0
