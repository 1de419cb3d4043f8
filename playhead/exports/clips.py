"""Clips: a time range of a recording's sound as a file, to be sent along with a citation.

Clips have sound only, even those of a video: pictures can only be split at keyframes, which are
seconds apart, and no picture is decoded here (decision 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playhead.core.errors import EmptyFile, TimeOutOfRange
from playhead.core.records import MediaFacts
from playhead.exports.files import atomic_write
from playhead.media.decode import decode_range
from playhead.media.encoding import ENCODINGS, encode
from playhead.transcripts.word_positions import TOLERANCE_SECONDS

#: Seconds before and after a moment that a listener needs to understand it.
CONTEXT_SECONDS: Final = 10.0
SUFFIXES: Final = tuple(ENCODINGS)


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A time range of a recording, in seconds."""

    start: float
    end: float

    @classmethod
    def between(cls, duration_seconds: float, start: float, end: float) -> ClipRange:
        """Return the range from ``start`` to ``end``.

        Raises ``TimeOutOfRange`` if it is not within the recording.
        """
        if not 0 <= start < end <= duration_seconds + TOLERANCE_SECONDS:
            raise _out_of_range(f"{start:g} to {end:g}", duration_seconds)
        return cls(start, min(end, duration_seconds))

    @classmethod
    def around(cls, duration_seconds: float, second: float) -> ClipRange:
        """Return the range of ``CONTEXT_SECONDS`` before and after ``second``.

        It is shorter at the ends of the recording. Raises ``TimeOutOfRange`` if ``second`` is not
        within the recording.
        """
        if not 0 <= second <= duration_seconds:
            raise _out_of_range(f"{second:g}", duration_seconds)
        start, end = second - CONTEXT_SECONDS, second + CONTEXT_SECONDS
        return cls(max(0.0, start), min(end, duration_seconds))


def write_clip(media: Path, facts: MediaFacts, clip: ClipRange, output: Path) -> None:
    """Write a clip to ``output``, encoded according to its suffix, one of ``SUFFIXES``.

    Uses constant memory, whatever the length. Raises ``OSError``, ``EmptyFile`` if there is no
    sound in the range, and the errors of ``decode``.
    """
    encoding = ENCODINGS[output.suffix.lower()]
    form = encoding.pcm_format(facts.sample_rate, facts.channels)
    with atomic_write(output) as path:
        blocks = decode_range(media, form, clip.start, clip.end)
        if not encode(path, encoding, form, blocks):
            raise EmptyFile(
                "The file has no sound in this range.",
                remedy="Upload the recording again from its source.",
            )


def _out_of_range(range_text: str, duration_seconds: float) -> TimeOutOfRange:
    return TimeOutOfRange(
        f"The range {range_text} is outside the recording of {duration_seconds:.2f} seconds.",
        remedy=f"Use seconds from 0 to {duration_seconds:.2f}, with the start before the end.",
    )
