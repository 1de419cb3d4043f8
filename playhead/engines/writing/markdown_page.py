"""A Markdown page that grows at its end and stores the times of its characters.

Titles and quotes are escaped, so that they cannot change the structure of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playhead.core.records import TimedSpan

# Characters that CommonMark 0.31 and GFM interpret as markup in the middle of a line. Line starts
# need no escaping, since every line starts with markup of this page.
_INLINE_MARKUP = re.compile(r"[\\`*\[\]<~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def escape(line: str) -> str:
    """Escape ``line`` so that Markdown shows exactly its characters in a paragraph or list item."""
    return _INLINE_MARKUP.sub(r"\\\g<0>", line)


def escape_heading(line: str) -> str:
    """Escape ``line`` for a heading, where hash signs at the end would be lost, too."""
    return escape(line).replace("#", r"\#")


class Page:
    """A page: its ``content``, and the ``spans`` and ``sections`` that point into it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.spans: list[TimedSpan] = []
        self.sections: list[dict[str, str | float]] = []

    @property
    def content(self) -> str:
        """Return the Markdown added so far."""
        return "".join(self._parts)

    def add(self, markdown: str) -> None:
        """Append Markdown."""
        self._parts.append(markdown)
        self._length += len(markdown)

    def quote(self, line: str, start_seconds: float, end_seconds: float) -> None:
        """Add words of the recording, escaped, with a span over exactly these characters."""
        begin = self._length
        self.add(escape(line))
        self.spans.append(TimedSpan(begin, self._length, start_seconds, end_seconds))

    @contextmanager
    def section(self, heading: str, start_seconds: float, end_seconds: float) -> Iterator[None]:
        """Write a blank line and a second-level heading, and register a section.

        ``heading`` must be escaped already. Everything that is added inside the ``with`` block is
        the body of the section.
        """
        self.add("\n")
        begin = self._length
        self.add(f"## {heading}\n")
        yield
        self.sections.append(
            {
                "heading": heading,
                "start_seconds": start_seconds,
                "end_seconds": end_seconds,
                "char_start": begin,
                "char_end": self._length,
            }
        )
