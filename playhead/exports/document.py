"""Export of documents whose timecodes link to the media."""

from __future__ import annotations

from playhead.core.media_links import timestamp_link
from playhead.core.records import Document
from playhead.core.timecode import format_timecode


def add_links(document: Document, link: str) -> str:
    """Return the document's Markdown with its timecodes as links to the media.

    A timecode is a ``[hh:mm:ss]`` before words of the recording; it is linked to their time.
    ``link`` opens the media.
    """
    parts, done = [], 0
    for span in document.spans:
        mark = f"[{format_timecode(span.start_seconds)}] "
        at = span.char_start - len(mark)
        if at >= done and document.content.startswith(mark, at):
            parts += [document.content[done:at], timestamp_link(link, span.start_seconds), " "]
            done = span.char_start
    return "".join([*parts, document.content[done:]])
