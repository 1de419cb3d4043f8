"""Export of transcripts: captions, JSON, plain text, or Markdown with links to the media.

Captions and JSON can be imported again after editing; plain text and Markdown are paragraphs to
read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

#: A paragraph ends when the speaker changes, at a pause, or at the end of a segment once it is this
#: long: about half a minute of speech.
_PAUSE_SECONDS: Final = 2.0
_MAX_PARAGRAPH_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a Markdown export; ``link`` opens the media."""

    title: str
    link: str


@dataclass(frozen=True, slots=True)
class _Paragraph:
    start: float
    speaker: str | None
    text: str


def export_transcript(
    transcript: Transcript, names: dict[str, str], export_format: ExportFormat, heading: Heading
) -> str:
    """Return the transcript in the format ``export_format``.

    ``names`` are the speakers' names by label. A transcript without words gives an empty but valid
    file.
    """
    named = with_names(transcript, names)
    if export_format == "txt":
        return "\n".join(
            f"{_segment_text(paragraph)}\n" for paragraph in _paragraphs(named.segments)
        )
    if export_format == "md":
        return _markdown(named, heading)
    return write_captions(named, export_format)


def _markdown(transcript: Transcript, heading: Heading) -> str:
    lines = [f"# {escape_heading(printable(heading.title)) or 'Untitled'}\n"]
    for paragraph in _paragraphs(transcript.segments):
        speaker = f"**{escape(printable(paragraph.speaker))}:** " if paragraph.speaker else ""
        lines.append(
            f"{timestamp_link(heading.link, paragraph.start)} {speaker}"
            f"{escape(printable(paragraph.text))}\n"
        )
    return "\n".join(lines)


def _segment_text(paragraph: _Paragraph) -> str:
    return (
        f"{one_line(paragraph.speaker)}: {paragraph.text}" if paragraph.speaker else paragraph.text
    )


def _paragraphs(segments: Sequence[Segment]) -> Iterator[_Paragraph]:
    paragraph: list[Segment] = []
    spoken = [segment for segment in segments if segment.text.strip()]
    for segment, after in zip(spoken, [*spoken[1:], None], strict=False):
        paragraph.append(segment)
        if after is None or _ends_paragraph(paragraph, after):
            text = one_line("\n".join(part.text for part in paragraph))
            yield _Paragraph(paragraph[0].start, segment.speaker, text)
            paragraph = []


def _ends_paragraph(paragraph: Sequence[Segment], after: Segment) -> bool:
    last = paragraph[-1]
    return (
        after.speaker != last.speaker
        or after.start - last.end >= _PAUSE_SECONDS
        or sum(len(segment.text) for segment in paragraph) >= _MAX_PARAGRAPH_CHARACTERS
    )
