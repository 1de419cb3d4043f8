"""A second of a recording as a Markdown link that opens the media there."""

from __future__ import annotations

from resources.clock import clock

_ENDS_A_LINK = str.maketrans({"(": "%28", ")": "%29", "<": "%3C", ">": "%3E", " ": "%20"})


def moment(link: str, seconds: float) -> str:
    """``link``: of the media. The fragment is that of Media Fragments URI 1.0, 4.2.1."""
    return f"[{clock(seconds)}]({link.translate(_ENDS_A_LINK)}#t={seconds:.2f})"
