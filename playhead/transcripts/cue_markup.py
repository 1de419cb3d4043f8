"""What the text of a cue says beside its words: who speaks, and how it is shown.

Here: a caption and its speaker to the text of a cue and back. Not here: times (``cues.py``), which
words make a caption (``breaking.py``).
"""

from __future__ import annotations

import html
import re
from typing import Final

from playhead.core.records import Segment, Transcript
from playhead.core.sentences import UNSPACED
from playhead.transcripts.alignment import letters

Said = tuple[str | None, str]  # who, and what on one line

_WRAPPED: Final = re.compile(rf"(?<=[{UNSPACED}])\s*[\r\n]\s*(?=[{UNSPACED}])")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^>]*))?>")
_WEBVTT_TAG: Final = re.compile(r"<[^<>]*>")
_SUBRIP_TAG: Final = re.compile(r"</?(?:[bisu]|font)(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
_JOINER: Final = "\u2060"
_PARTED: Final = re.compile(rf"(?<=[<{{-]){_JOINER}")
_SUBRIP_MARKUP: Final = re.compile(rf"->|{_SUBRIP_TAG.pattern}", re.IGNORECASE)
_NAME: Final = re.compile(r"([^\W\d_][^:]{0,39}): (?=\S)")


def one_line(text: str) -> str:
    """Lines as one, joined without a space where the script has none; white space as single
    spaces, none at the ends."""
    return " ".join(_WRAPPED.sub("", text).split())


class WebVtt:
    """Speakers in voice tags, ``<v Ann>``; characters of markup escaped as in HTML."""

    def lead(self, _segment: Segment, _at: int) -> str:
        """Nothing is shown before a text."""
        return ""

    def write(self, text: str, speaker: str | None) -> str:
        name = html.escape(one_line(speaker or ""), quote=False)
        escaped = html.escape(text, quote=False)
        return f"<v {name}>{escaped}" if name else escaped

    def read(self, text: str) -> Said:
        """Raises ``ValueError`` where several people speak in one cue."""
        voices = _VOICE.findall(text)
        if len(voices) > 1:
            raise ValueError("several people speak in one cue; give each a cue")
        name = one_line(html.unescape(voices[0])) if voices else ""
        return name or None, one_line(html.unescape(_WEBVTT_TAG.sub("", text)))


class SubRip:
    """Speakers before a colon, ``Ann: ``, since the format has no mark for them. What the
    transcript itself says is neither a tag nor a name, unless it is that of one of its
    speakers; text of nobody that begins with such a name has a colon before it.

    The format cannot escape either: an arrow or a tag that is said is parted by a character
    without width."""

    def __init__(self, transcript: Transcript) -> None:
        self._text = one_line(transcript.text)
        self._letters = letters(transcript.text)
        names = {one_line(segment.speaker or "") for segment in transcript.segments}
        self._marks = [f"{name}: " for name in names if name] + [": "]

    def lead(self, segment: Segment, at: int) -> str:
        """What is shown before the segment's text from a character on: who speaks, at its
        beginning, or the colon."""
        name = one_line(segment.speaker or "") if not at else ""
        return f"{name}:" if name or self._mark(one_line(segment.text[at:])) else ""

    def write(self, text: str, _speaker: str | None) -> str:
        return _SUBRIP_MARKUP.sub(lambda found: found[0][0] + _JOINER + found[0][1:], text)

    def read(self, text: str) -> Said:
        text = _SUBRIP_TAG.sub(self._unless_said, one_line(text))
        text = one_line(_PARTED.sub("", text))
        if mark := self._mark(text):
            return mark[:-2] or None, text[len(mark) :]
        new = _NAME.match(text)
        if new is None or self._says(new[1], text[new.end() :]):
            return None, text
        return new[1], text[new.end() :]

    def _mark(self, text: str) -> str:
        """With which speaker's name and colon the text begins."""
        return next(filter(f"{text} ".startswith, self._marks), "")

    def _says(self, name: str, rest: str) -> bool:
        """Whether that is no name but words, to which somebody may have added the colon."""
        return f"{name}:" in self._text or letters(name + rest.split()[0]) in self._letters

    def _unless_said(self, tag: re.Match[str]) -> str:
        return tag[0] if tag[0] in self._text else ""
