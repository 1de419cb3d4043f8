"""Parts that the documents of all writers share: the header, and the text without speech."""

from __future__ import annotations

from playhead.core.records import Kind, Transcript
from playhead.core.text import one_line
from playhead.core.timecode import format_timecode
from playhead.engines.writing.markdown_page import Page, escape, escape_heading

_NO_SPEECH = "No speech was found in this recording."
_MAX_TITLE_CHARACTERS = 200  # in the heading


def write_header(page: Page, transcript: Transcript, *, title: str, kind: Kind, note: str) -> None:
    """Write the heading, a line of facts, and ``note``, which states who wrote it and how."""
    shown = one_line(title)
    if len(shown) > _MAX_TITLE_CHARACTERS:
        shown = shown[:_MAX_TITLE_CHARACTERS].rstrip() + "…"
    language = escape(one_line(transcript.language))
    page.add(f"# {escape_heading(shown) or 'Untitled'}\n\n")
    page.add(f"*{kind.capitalize()} · {format_timecode(transcript.duration_seconds)} · ")
    page.add(f"language: {language}*\n\n{note}\n")


def write_silence(page: Page, duration_seconds: float) -> None:
    """Write the only section of a document about a recording without words."""
    with page.section(
        f"{format_timecode(0)}–{format_timecode(duration_seconds)}", 0.0, duration_seconds
    ):
        page.add(f"\n{_NO_SPEECH}\n")
