"""Where on the player's clock decoded sound belongs.

The clock is that of playback: what is placed at a second sounds at that second when a person plays
the file. A track may start late, have holes, or start its clock anew.
"""

from __future__ import annotations

from typing import Final

import av

from playhead.media.limits import require_length
from playhead.media.sandboxed.open_media import demuxer, has_pictures

_START_AT_ZERO: Final = frozenset({"asf", "avi", "flv", "matroska", "mov"})
#: No times of their own, or such that one frame would lie on the other: frame follows frame.
_STORES_NO_TIMES: Final = frozenset({"avi", "gxf", "rm"})

_JITTER_SECONDS: Final = 0.05  # containers round their timestamps; less than this is no gap
_MAX_OVERLAP_SECONDS: Final = 1.0  # a larger step back is a clock that started anew
_MAX_GAP_SECONDS: Final = 86_400.0  # a larger step forward is a damaged timestamp


class FrameTimeline:
    """Where on the player's clock each frame belongs. ``start`` and ``end`` are the seconds of
    the frame placed last."""

    def __init__(
        self, container: av.container.InputContainer, track: av.AudioStream, size_bytes: int
    ) -> None:
        self.start = self.end = 0.0
        self._size_bytes = size_bytes
        self._zero = _clock_zero(container)
        counted = demuxer(container) in _STORES_NO_TIMES
        self._begins = float((track.start_time or 0) * track.time_base) if counted else None

    def place(self, frame: av.AudioFrame) -> bool:
        """Put a frame behind the last one, or where its timestamp says. True if it does not
        follow on: time is missing before it, or it starts before the last one ended. Raises
        ``DecodingTooCostly`` where that is more sound than the file can hold."""
        step = self._stated(frame) - self.end
        moved = (
            _JITTER_SECONDS < step <= _MAX_GAP_SECONDS
            or -_MAX_OVERLAP_SECONDS <= step < -_JITTER_SECONDS
        )
        self.start = self.end + step if moved else self.end
        self.end = self.start + frame.samples / frame.sample_rate
        require_length(self.end, self._size_bytes)
        return moved

    def _stated(self, frame: av.AudioFrame) -> float:
        if self._begins is not None:
            return self.end or self._begins
        if frame.time is None:
            return self.end
        if self._zero is None:
            self._zero = frame.time
        return float(frame.time - self._zero)


def _clock_zero(container: av.container.InputContainer) -> float | None:
    """The timestamp at which playback starts; None: that of the first frame. Some containers
    count from their own zero; in others the first timestamp may be anything."""
    if demuxer(container) in _START_AT_ZERO:
        return 0.0
    if has_pictures(container) and container.start_time is not None:
        return float(container.start_time / av.time_base)
    return None
