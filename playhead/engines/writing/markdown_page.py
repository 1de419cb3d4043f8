"""A Markdown page that grows at its end and remembers which of its characters were said when.

Here: escaping, so that no title or quote can change the page's structure, and positions. Not
here: what is worth saying (``ranking.py``), the layout (``extractive.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playhead.core.records import TimedSpan

# What CommonMark 0.31 and GFM would read as markup in the middle of a line. Line starts need
# no care: every line begins with a mark of ours.
_INLINE_MARKUP = re.compile(r"[\\`*\[\]<~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def escape(line: str) -> str:
    """``line`` so that Markdown shows exactly its characters, in a paragraph or list item."""
    return _INLINE_MARKUP.sub(r"\\\g<0>", line)


def escape_heading(line: str) -> str:
    """As ``escaped``; a heading would also lose hash signs at its end."""
    return escape(line).replace("#", r"\#")


class Page:
    """``content``, and the ``spans`` and ``sections`` that point into it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.spans: list[TimedSpan] = []
        self.sections: list[dict[str, str | float]] = []

    @property
    def content(self) -> str:
        return "".join(self._parts)

    def add(self, markdown: str) -> None:
        self._parts.append(markdown)
        self._length += len(markdown)

    def quote(self, line: str, start_seconds: float, end_seconds: float) -> None:
        """Add words of the recording, escaped, with a span over exactly these characters."""
        begin = self._length
        self.add(escape(line))
        self.spans.append(TimedSpan(begin, self._length, start_seconds, end_seconds))

    @contextmanager
    def section(self, heading: str, start_seconds: float, end_seconds: float) -> Iterator[None]:
        """A blank line and a second-level heading (already escaped); what is added inside is
        the section's body."""
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
