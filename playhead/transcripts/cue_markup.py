"""Speaker names and markup in the text of a cue, written and read."""

from __future__ import annotations

import html
import re
from typing import Final

from playhead.core.records import Segment, Transcript
from playhead.core.sentences import UNSPACED
from playhead.transcripts.alignment import count_letters

CueText = tuple[str | None, str]  # speaker, and text on one line

_WRAPPED: Final = re.compile(rf"(?<=[{UNSPACED}])\s*[\r\n]\s*(?=[{UNSPACED}])")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^>]*))?>")
_WEBVTT_TAG: Final = re.compile(r"<[^<>]*>")
_SUBRIP_TAG: Final = re.compile(r"</?(?:[bisu]|font)(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
_JOINER: Final = "\u2060"
_PARTED: Final = re.compile(rf"(?<=[<{{-]){_JOINER}")
_SUBRIP_MARKUP: Final = re.compile(rf"->|{_SUBRIP_TAG.pattern}", re.IGNORECASE)
_NAME: Final = re.compile(r"([^\W\d_][^:]{0,39}): (?=\S)")


def one_line(text: str) -> str:
    """Join lines into one and collapse white space, with none at the ends.

    Lines are joined without a space in scripts that have none.
    """
    return " ".join(_WRAPPED.sub("", text).split())


class WebVtt:
    """WebVTT markup: speakers in voice tags (``<v Ann>``), special characters HTML-escaped."""

    def lead(self, _segment: Segment, _at: int) -> str:
        """Return the text shown before a segment's text: none in WebVTT."""
        return ""

    def write(self, text: str, speaker: str | None) -> str:
        name = html.escape(one_line(speaker or ""), quote=False)
        escaped = html.escape(text, quote=False)
        return f"<v {name}>{escaped}" if name else escaped

    def read(self, text: str) -> CueText:
        """Parse the text of a cue into its speaker and its words on one line.

        Raises ``ValueError`` if several people speak in one cue.
        """
        names = _VOICE.findall(text)
        if len(names) > 1:
            raise ValueError("the cue has several speakers; use one cue per speaker")
        name = one_line(html.unescape(names[0])) if names else ""
        return name or None, one_line(html.unescape(_WEBVTT_TAG.sub("", text)))


class SubRip:
    """SubRip markup: speakers before a colon (``Ann: ``), since the format has no markup for them.

    Text that the transcript itself contains is read as neither a tag nor a name, unless the name is
    one of its speakers'. Text without a speaker that begins with such a name gets a colon before
    it.

    The format cannot escape either, so an arrow or a tag within the spoken text is split by a
    zero-width character.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._text = one_line(transcript.text)
        self._letters = count_letters(transcript.text)
        names = {one_line(segment.speaker or "") for segment in transcript.segments}
        self._marks = [f"{name}: " for name in names if name] + [": "]

    def lead(self, segment: Segment, at: int) -> str:
        """Return the text shown before the segment's text from character ``at`` on.

        This is the speaker's name and a colon at the segment's beginning, a lone colon where it is
        needed, else an empty string.
        """
        name = one_line(segment.speaker or "") if not at else ""
        return f"{name}:" if name or self._mark(one_line(segment.text[at:])) else ""

    def write(self, text: str, _speaker: str | None) -> str:
        return _SUBRIP_MARKUP.sub(lambda match: match[0][0] + _JOINER + match[0][1:], text)

    def read(self, text: str) -> CueText:
        text = _SUBRIP_TAG.sub(self._keep_if_spoken, one_line(text))
        text = one_line(_PARTED.sub("", text))
        if mark := self._mark(text):
            return mark[:-2] or None, text[len(mark) :]
        prefix = _NAME.match(text)
        if prefix is None or self._is_spoken(prefix[1], text[prefix.end() :]):
            return None, text
        return prefix[1], text[prefix.end() :]

    def _mark(self, text: str) -> str:
        """Return the speaker name with its colon that the text begins with, or ""."""
        return next(filter(f"{text} ".startswith, self._marks), "")

    def _is_spoken(self, name: str, rest: str) -> bool:
        """Return whether the name is really spoken text to which a colon may have been added."""
        return f"{name}:" in self._text or count_letters(name + rest.split()[0]) in self._letters

    def _keep_if_spoken(self, tag: re.Match[str]) -> str:
        return tag[0] if tag[0] in self._text else ""
