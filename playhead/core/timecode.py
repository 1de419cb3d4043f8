"""Timecodes, as shown to people everywhere."""

from __future__ import annotations


def format_timecode(seconds: float) -> str:
    """Format seconds as ``hh:mm:ss``.

    The time is rounded down, so that playback from it includes the start of what follows.
    """
    total = int(seconds)
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def format_short_timecode(seconds: float) -> str:
    """Format seconds as ``mm:ss``, or as ``hh:mm:ss`` from one hour on."""
    return format_timecode(seconds).removeprefix("00:")
