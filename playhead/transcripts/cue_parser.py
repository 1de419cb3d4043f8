"""Parser for the lines of SubRip (.srt) and WebVTT (.vtt) files: cues with their times.

No library is used: srt 3.5, webvtt-py 0.6 and pysubs2 1.8 stop at an unreadable cue, drop it or
read it as text of the previous cue, and none reports the line of each error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

NumberedLine = tuple[int, str]  # line number from 1, and text

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STAMP: Final = r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?"
_TIMES: Final = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
_LIKE_TIMES: Final = re.compile(r"-->|\d:\d\d")
_BEGIN: Final = re.compile(r"\d\s*-->\s*\d")
_NO_CUE: Final = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue: ``text`` is spoken from ``start`` to ``end`` seconds; ``line`` is its timing line."""

    line: int
    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class ParseError:
    """An error in a line of the file."""

    line: int
    message: str


def read_cues(text: str, *, webvtt: bool) -> Iterator[Cue | ParseError]:
    """Yield all cues, and an error for everything that cannot be read as one, in order.

    Numbers and names of cues, their settings, comments and styles are skipped. Hours, and the
    fraction of a second, may be missing; comma and point are equivalent.
    """
    lines = _LINE_END.split(text)
    if webvtt and not lines[0].startswith("WEBVTT"):
        yield ParseError(1, "a WebVTT file must start with WEBVTT")
    for block in _blocks(lines):
        if webvtt and _NO_CUE.match(block[0][1]):
            yield from _is_comment(block)
        else:
            yield from _cue(block)


def stamp(seconds: float, point: str = ".") -> str:
    """Format seconds as ``hh:mm:ss.mmm``, with more digits for hours if needed."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    second, part = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{second:02d}{point}{part:03d}"


def _blocks(lines: Sequence[str]) -> Iterator[list[NumberedLine]]:
    """Yield groups of numbered lines that are separated by empty lines."""
    block: list[NumberedLine] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []


def _cue(block: Sequence[NumberedLine]) -> Iterator[Cue | ParseError]:
    """Parse a block as a cue, whose times are in its first or second line.

    In the second line they follow a number or name.
    """
    for at, (number, line) in enumerate(block[:2], 1):
        if times := _TIMES.fullmatch(line):
            lines = block[at:]
            yield Cue(number, *_seconds(times), "\n".join(line for _, line in lines))
            yield from _is_comment(lines)
            return
    number, line = next(
        (candidate for candidate in block[:2] if _LIKE_TIMES.search(candidate[1])), block[0]
    )
    shown = repr(line.strip()[:60])
    if _LIKE_TIMES.search(line):
        yield ParseError(
            number, f"invalid times of a cue: {shown}, not hh:mm:ss,mmm --> hh:mm:ss,mmm"
        )
    else:
        yield ParseError(number, f"{shown} is outside any cue; an empty line ends a cue")


def _is_comment(block: Sequence[NumberedLine]) -> Iterator[ParseError]:
    """Yield an error for each cue that begins inside a block, without an empty line before it."""
    for number, line in block:
        if _BEGIN.search(line):
            yield ParseError(number, "a cue starts here without an empty line before it")


def _seconds(times: re.Match[str]) -> tuple[float, float]:
    start, end = times.groups("0")[:4], times.groups("0")[4:]
    return _milliseconds(*start) / 1000, _milliseconds(*end) / 1000


def _milliseconds(hours: str, minutes: str, seconds: str, part: str) -> int:
    total = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return 1000 * total + int(part.ljust(3, "0"))
