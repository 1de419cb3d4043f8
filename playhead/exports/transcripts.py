"""A transcript as a file: to caption the media with, to edit, or to read.

Here: paragraphs to read, as plain text or as Markdown whose times open the media. Not here:
captions and JSON, which can be read back (``playhead/transcripts/caption_files.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from playhead.core.media_links import timestamp_link
from playhead.core.records import Segment, Transcript
from playhead.core.text import one_line as printable
from playhead.engines.writing.markdown_page import escape, escape_heading
from playhead.transcripts.caption_files import CaptionFormat, write_captions
from playhead.transcripts.cue_markup import one_line
from playhead.transcripts.speaker_names import with_names

ExportFormat = CaptionFormat | Literal["txt", "md"]
FORMATS: Final[tuple[ExportFormat, ...]] = (*get_args(CaptionFormat), "txt", "md")

#: A paragraph ends with its speaker, at a pause, or at a segment's end once it is this long: about
#: half a minute of speech.
_PAUSE_SECONDS: Final = 2.0
_MAX_PARAGRAPH_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Heading:
    """What a Markdown page says of its recording. ``link`` opens the media."""

    title: str
    link: str


@dataclass(frozen=True, slots=True)
class _Paragraph:
    start: float
    speaker: str | None
    text: str


def export_transcript(
    transcript: Transcript, names: dict[str, str], wanted: ExportFormat, heading: Heading
) -> str:
    """The transcript with people's ``names``, by label. One without words is a file without any,
    valid as its format has it."""
    shown = with_names(transcript, names)
    if wanted == "txt":
        return "\n".join(f"{_segment_text(one)}\n" for one in _paragraphs(shown.segments))
    if wanted == "md":
        return _markdown(shown, heading)
    return write_captions(shown, wanted)


def _markdown(transcript: Transcript, heading: Heading) -> str:
    lines = [f"# {escape_heading(printable(heading.title)) or 'Untitled'}\n"]
    for one in _paragraphs(transcript.segments):
        speaker = f"**{escape(printable(one.speaker))}:** " if one.speaker else ""
        lines.append(
            f"{timestamp_link(heading.link, one.start)} {speaker}{escape(printable(one.text))}\n"
        )
    return "\n".join(lines)


def _segment_text(one: _Paragraph) -> str:
    return f"{one_line(one.speaker)}: {one.text}" if one.speaker else one.text


def _paragraphs(segments: Sequence[Segment]) -> Iterator[_Paragraph]:
    held: list[Segment] = []
    for one, after in pairwise([*(one for one in segments if one.text.strip()), None]):
        assert one is not None
        held.append(one)
        if after is None or _ends_paragraph(held, after):
            text = one_line("\n".join(part.text for part in held))
            yield _Paragraph(held[0].start, one.speaker, text)
            held = []


def _ends_paragraph(held: Sequence[Segment], after: Segment) -> bool:
    last = held[-1]
    return (
        after.speaker != last.speaker
        or after.start - last.end >= _PAUSE_SECONDS
        or sum(len(one.text) for one in held) >= _MAX_PARAGRAPH_CHARACTERS
    )
