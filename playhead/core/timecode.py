"""How a second of a recording is shown to people, everywhere the same."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """``hh:mm:ss``, rounded down, so that what follows is heard from its beginning."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def short_clock(seconds: float) -> str:
    """``mm:ss``, with hours in front where there are any."""
    return clock(seconds).removeprefix("00:")
