"""Functions that make any text safe to encode and to show on one line."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate, which UTF-8 cannot encode, by U+FFFD; the length stays."""
    return _SURROGATE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Replace surrogates, and collapse white space and control characters to single spaces.

    The result has no spaces at its ends.
    """
    return " ".join(_CONTROL.sub(" ", replace_surrogates(text)).split())
