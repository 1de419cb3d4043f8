"""Convert transcripts and model replies to plain text without links, markup or citation marks.

The only links an answer shows are created by Playhead, and the only citation marks those of checked
citations. Anything else that looks like one is made harmless here; its words stay.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from typing import Final

from playhead.core.text import one_line

#: Replacement for a link.
LINK: Final = "(link)"

# Invisible characters, and those that change the text direction: they hide content from people.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e007f]"
)
_TAG: Final = re.compile(r"<[/!?a-zA-Z][^<>]*>?")
_PICTURE_OR_LINK: Final = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|:\s*\S+)")
_URL: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:\s?//|www\.|(?:mailto|javascript|data|vbscript|tel|file):(?=\S))"
    r"\S*?(?=[.,;:!?]*(?:\s|$))",
    re.IGNORECASE,
)
_MAIL: Final = re.compile(r"(\w)@(?=\w)")
_DOMAIN_DOT: Final = re.compile(
    r"(?<=\w)\.(?=[^\W\d_]{2,})"
)  # in domain names, which viewers turn into links
_CITATION: Final = re.compile(r"[\[【［〔]\s*\^?\d[^\[\]【】［］]{0,20}[\]】］〕]")
_MARKUP: Final = str.maketrans(
    {"[": "(", "]": ")", "<": "‹", ">": "›", "`": "'", "*": None, "|": "/", "\\": None, "~": None}
)
_LINE_MARK: Final = re.compile(r"^\s*(?:#{1,6}|[-+])\s+")
_SPACE_BEFORE: Final = re.compile(r"\s+(?=[.,;:!?](?:\s|$))")


def sanitize(text: str) -> str:
    """Return the text as one line without links, markup or citation marks."""
    while (stripped := _strip_markup(text)) != text:  # the removed part may have been inside a link
        text = stripped
    return text


def _strip_markup(text: str) -> str:
    visible = one_line(_INVISIBLE.sub("", unescape(unicodedata.normalize("NFC", text))))
    bare = _PICTURE_OR_LINK.sub(r"\1", _TAG.sub(" ", visible))
    without_links = _MAIL.sub(r"\1 at ", _URL.sub(LINK, bare))
    without_citations = _CITATION.sub(" ", _DOMAIN_DOT.sub(" dot ", without_links))
    return _SPACE_BEFORE.sub("", one_line(_LINE_MARK.sub("", without_citations.translate(_MARKUP))))
