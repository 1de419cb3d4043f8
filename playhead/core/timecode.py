"""How a second of a recording is shown to people, everywhere the same."""

from __future__ import annotations


def format_timecode(seconds: float) -> str:
    """``hh:mm:ss``, rounded down, so that what follows is heard from its beginning."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def format_short_timecode(seconds: float) -> str:
    """``mm:ss``, with hours in front where there are any."""
    return format_timecode(seconds).removeprefix("00:")
