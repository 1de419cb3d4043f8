"""Links that open a recording's media at a given second."""

from __future__ import annotations

from playhead.core.timecode import format_timecode

_ENDS_A_LINK = str.maketrans({"(": "%28", ")": "%29", "<": "%3C", ">": "%3E", " ": "%20"})


def media_link(link: str, seconds: float) -> str:
    """Return the URL ``link`` of a recording's media with a fragment that starts at ``seconds``.

    The fragment is that of Media Fragments URI 1.0, section 4.2.1.
    """
    return f"{link}#t={seconds:.2f}"


def timestamp_link(link: str, seconds: float) -> str:
    """Return a Markdown link to the media at ``seconds``, with the timecode as its text."""
    return f"[{format_timecode(seconds)}]({media_link(link.translate(_ENDS_A_LINK), seconds)})"
