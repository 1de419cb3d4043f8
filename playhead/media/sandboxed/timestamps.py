"""Placement of decoded frames on the playback timeline.

A frame placed at a second is at that second when the file is played. A track may start late, have
gaps, or restart its timestamps.
"""

from __future__ import annotations

from typing import Final

import av

from playhead.media.limits import require_length
from playhead.media.sandboxed.open_media import demuxer, has_pictures

_START_AT_ZERO: Final = frozenset({"asf", "avi", "flv", "matroska", "mov"})
#: Demuxers without timestamps, or with timestamps that overlap: frames are placed one after
#: another.
_STORES_NO_TIMES: Final = frozenset({"avi", "gxf", "rm"})

_JITTER_SECONDS: Final = 0.05  # containers round their timestamps; less than this is no gap
_MAX_OVERLAP_SECONDS: Final = 1.0  # a larger step back means that the timestamps restarted
_MAX_GAP_SECONDS: Final = 86_400.0  # a larger step forward is a damaged timestamp


class FrameTimeline:
    """The positions of decoded frames on the playback timeline.

    ``start`` and ``end`` are the seconds of the frame placed last.
    """

    def __init__(
        self, container: av.container.InputContainer, track: av.AudioStream, size_bytes: int
    ) -> None:
        self.start = self.end = 0.0
        self._size_bytes = size_bytes
        self._zero = _clock_zero(container)
        counted = demuxer(container) in _STORES_NO_TIMES
        self._first_second = float((track.start_time or 0) * track.time_base) if counted else None

    def place(self, frame: av.AudioFrame) -> bool:
        """Place a frame after the previous one, or where its timestamp says.

        Returns True if it is not contiguous: time is missing before it, or it starts before the
        previous one ended. Raises ``DecodingTooCostly`` if that is more sound than the file can
        hold.
        """
        step = self._stated(frame) - self.end
        is_gap = (
            _JITTER_SECONDS < step <= _MAX_GAP_SECONDS
            or -_MAX_OVERLAP_SECONDS <= step < -_JITTER_SECONDS
        )
        self.start = self.end + step if is_gap else self.end
        self.end = self.start + frame.samples / frame.sample_rate
        require_length(self.end, self._size_bytes)
        return is_gap

    def _stated(self, frame: av.AudioFrame) -> float:
        if self._first_second is not None:
            return self.end or self._first_second
        if frame.time is None:
            return self.end
        if self._zero is None:
            self._zero = frame.time
        return float(frame.time - self._zero)


def _clock_zero(container: av.container.InputContainer) -> float | None:
    """Return the timestamp at which playback starts, or None for that of the first frame.

    Some containers count from their own zero; in others the first timestamp may be anything.
    """
    if demuxer(container) in _START_AT_ZERO:
        return 0.0
    if has_pictures(container) and container.start_time is not None:
        return float(container.start_time / av.time_base)
    return None
