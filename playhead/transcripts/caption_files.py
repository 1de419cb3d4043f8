"""Transcripts as files that people can edit: writing and reading SubRip, WebVTT and JSON.

Reading an edited file reports all of its errors with their line numbers.
"""

from __future__ import annotations

import codecs
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import PurePath
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from playhead.core.errors import InvalidCorrection
from playhead.core.records import Segment, Transcript
from playhead.transcripts.caption_layout import Caption, layout_captions
from playhead.transcripts.cue_markup import SubRip, WebVtt, one_line
from playhead.transcripts.cue_parser import Cue, ParseError, read_cues, stamp
from playhead.transcripts.word_positions import TOLERANCE_SECONDS

CaptionFormat = Literal["srt", "vtt", "json"]

#: Seconds that may be missing at the end of a file, besides half of the speech: engines invent
#: words in silence, and people delete these. A file that lacks more belongs to another recording.
SHORTFALL_SECONDS = 60.0

_FORMATS: Final[dict[str, CaptionFormat]] = {".srt": "srt", ".vtt": "vtt", ".json": "json"}

CaptionEntry = tuple[int, Segment]  # line number, or index in JSON, and segment


def decode_text(data: bytes) -> str:
    """Decode an edited file as UTF-8, or as UTF-16 if it has a byte order mark.

    Raises ``InvalidCorrection`` if the file is not valid UTF-8.
    """
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidCorrection(
            [f"line {line}: not UTF-8"], remedy="Save the file as UTF-8 and try again."
        ) from error


def detect_format(name: str, text: str) -> CaptionFormat:
    """Detect the format from the file's suffix, else from the beginning of its text.

    SubRip has no signature, so it is the fallback.
    """
    begin = text.removeprefix("\ufeff").lstrip()
    guess: CaptionFormat = "json" if begin.startswith("{") else "srt"
    if begin.startswith("WEBVTT"):
        guess = "vtt"
    return _FORMATS.get(PurePath(name).suffix.lower(), guess)


def write_captions(transcript: Transcript, caption_format: CaptionFormat) -> str:
    """Write a transcript as captions of readable size, or as JSON.

    Caption times are rounded to milliseconds; JSON holds the whole transcript with exact times. The
    text ends with a newline.
    """
    if caption_format == "json":
        return json.dumps(asdict(transcript), ensure_ascii=False, indent=1) + "\n"
    markup = _markup(caption_format, transcript)
    point = "." if caption_format == "vtt" else ","
    cues = (
        f"{stamp(caption.start, point)} --> {stamp(caption.end, point)}\n"
        f"{markup.write(caption.text, transcript.segments[caption.segment].speaker)}\n"
        for caption in layout_captions(transcript, markup.lead)
    )
    if caption_format == "vtt":
        return "".join(["WEBVTT\n", *(f"\n{cue}" for cue in cues)])
    return "\n".join(f"{number}\n{cue}" for number, cue in enumerate(cues, 1))


def _markup(caption_format: CaptionFormat, transcript: Transcript) -> WebVtt | SubRip:
    return WebVtt() if caption_format == "vtt" else SubRip(transcript)


def read_captions(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> tuple[Segment, ...]:
    """Read the segments of an edited caption file, for ``correct_all``.

    Blank segments are left out. Captions that ``write_captions`` created from one segment are
    joined again if their times are unchanged. A time that equals one of the transcript's when
    rounded to milliseconds is restored exactly. In JSON only ``segments`` is used, and
    ``duration_seconds``, if present, must be the recording's.

    Raises ``InvalidCorrection`` with all errors: unreadable lines, times that go back or lie
    outside the recording by more than ``TOLERANCE_SECONDS``, a file without text, a different
    duration.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise _reject("the file is empty")
    if caption_format == "json":
        template, found = "segments[{}]: {}", list(_from_json(text, transcript))
    else:
        template, found = "line {}: {}", list(_from_cues(text, caption_format, transcript))
    entries = [entry for entry in found if not isinstance(entry, ParseError)]
    faults = [entry for entry in found if isinstance(entry, ParseError)]
    faults += _find_misfits(entries, transcript.duration_seconds)
    if faults:
        faults.sort(key=lambda fault: fault.line)
        raise _reject(*(template.format(fault.line, fault.message) for fault in faults))
    segments = tuple(segment for _, segment in entries if segment.text)
    _require_length(segments, transcript)
    return segments


def _reject(*problems: str) -> InvalidCorrection:
    return InvalidCorrection(
        problems, remedy="Correct the file and try again. Nothing was changed."
    )


@dataclass(frozen=True, slots=True)
class _ParsedLine:
    """A parsed cue with the caption it was originally written as, or None if there was none."""

    line: int
    segment: Segment
    caption: Caption | None

    @property
    def entry(self) -> CaptionEntry:
        return self.line, self.segment

    def continues(self, before: _ParsedLine) -> bool:
        """Return whether this cue continues ``before``.

        It does if it is the next caption of the same segment with the same speaker.
        """
        earlier, other = before.caption, self.caption
        speaks = self.segment.speaker in (None, before.segment.speaker)
        return bool(
            earlier and other and not other.is_first and earlier.segment == other.segment and speaks
        )

    def joined(self, after: _ParsedLine) -> _ParsedLine:
        segment, other = self.segment, after.segment
        text = one_line(f"{segment.text}\n{other.text}")
        return replace(after, line=self.line, segment=replace(segment, text=text, end=other.end))


def _from_cues(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> Iterator[CaptionEntry | ParseError]:
    before: _ParsedLine | None = None
    for line in _parse(text, caption_format, transcript):
        if isinstance(line, ParseError):
            yield line
        elif before and line.continues(before):
            before = before.joined(line)
        else:
            if before:
                yield before.entry
            before = line
    if before:
        yield before.entry


def _parse(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> Iterator[_ParsedLine | ParseError]:
    markup = _markup(caption_format, transcript)
    written = _WrittenCaptions(transcript, layout_captions(transcript, markup.lead))
    for cue in read_cues(text, webvtt=caption_format == "vtt"):
        if isinstance(cue, ParseError):
            yield cue
            continue
        try:
            speaker, words = markup.read(cue.text)
        except ValueError as error:
            yield ParseError(cue.line, str(error))
        else:
            caption = written.next_as(cue)
            start, end = written.seconds(cue, caption)
            language = _language_at(start, transcript)
            yield _ParsedLine(cue.line, Segment(words, start, end, speaker, language), caption)


class _WrittenCaptions:
    """The captions of a transcript as they were written, before any edit."""

    def __init__(self, transcript: Transcript, written: Iterator[Caption]) -> None:
        self._starts = {stamp(segment.start): segment.start for segment in transcript.segments}
        self._ends = {stamp(segment.end): segment.end for segment in transcript.segments}
        self._captions: dict[tuple[str, str], list[Caption]] = {}
        for entry in written:
            self._captions.setdefault((stamp(entry.start), stamp(entry.end)), []).append(entry)

    def next_as(self, cue: Cue) -> Caption | None:
        """Return the first unused caption with exactly the cue's times, or None."""
        captions = self._captions.get((stamp(cue.start), stamp(cue.end)))
        return captions.pop(0) if captions else None

    def seconds(self, cue: Cue, caption: Caption | None) -> tuple[float, float]:
        """Return the exact start and end of a cue, in seconds."""
        if caption:
            return caption.start, caption.speech_end
        start, end = stamp(cue.start), stamp(cue.end)
        return self._starts.get(start, cue.start), self._ends.get(end, cue.end)


def _language_at(seconds: float, transcript: Transcript) -> str | None:
    """Return the language of the segment at ``seconds``, since captions store none."""
    at = bisect_right(transcript.segments, seconds, key=attrgetter("start"))
    return transcript.segments[at - 1].language if at else None


class EditedSegment(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    start: FiniteFloat
    end: FiniteFloat
    speaker: str | None = None
    language: str | None = None


class EditedFile(BaseModel):
    model_config = ConfigDict(strict=True)

    segments: list[Any]
    duration_seconds: FiniteFloat | None = None


def _from_json(text: str, transcript: Transcript) -> Iterator[CaptionEntry | ParseError]:
    try:
        file = EditedFile.model_validate_json(text)
    except ValidationError as error:
        raise _reject(*_messages(error)) from error
    length, duration = file.duration_seconds, transcript.duration_seconds
    if length is not None and abs(length - duration) > TOLERANCE_SECONDS:
        raise _reject(f"duration_seconds: {length}, but the recording has {duration}")
    for index, item in enumerate(file.segments):
        try:
            segment = EditedSegment.model_validate(item)
        except ValidationError as error:
            yield from (ParseError(index, message) for message in _messages(error))
        else:
            yield (
                index,
                Segment(
                    segment.text.strip(),
                    segment.start,
                    segment.end,
                    segment.speaker,
                    segment.language,
                ),
            )


def _messages(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        location = ".".join(map(str, fault["loc"]))
        yield f"{location}: {fault['msg']}" if location else fault["msg"]


def _find_misfits(entries: Sequence[CaptionEntry], duration: float) -> Iterator[ParseError]:
    """Yield an error for each segment with impossible times.

    A segment with an error is not used for the comparison with the next one.
    """
    before = Segment("", 0.0, 0.0)
    for place, segment in entries:
        faults = list(_find_impossible(segment, before, duration))
        yield from (ParseError(place, message) for message in faults)
        before = before if faults else segment


def _find_impossible(segment: Segment, before: Segment, duration: float) -> Iterator[str]:
    if segment.end < segment.start - TOLERANCE_SECONDS:
        yield f"ends at {stamp(segment.end)}, before it starts at {stamp(segment.start)}"
    if segment.start < -TOLERANCE_SECONDS:
        yield f"starts at {segment.start} s, before the recording"
    elif segment.start < before.start - TOLERANCE_SECONDS:
        yield f"starts at {stamp(segment.start)}, before the one above at {stamp(before.start)}"
    elif segment.end < before.end - TOLERANCE_SECONDS:
        yield f"ends at {stamp(segment.end)}, before the one above at {stamp(before.end)}"
    if segment.end > duration + TOLERANCE_SECONDS:
        yield f"ends at {stamp(segment.end)}, after the recording at {stamp(duration)}"


def _require_length(segments: Sequence[Segment], transcript: Transcript) -> None:
    if not segments:
        raise _reject("the file has no words")
    speech_end = max((segment.end for segment in transcript.segments), default=0.0)
    end = segments[-1].end
    if end < speech_end / 2 and speech_end - end > SHORTFALL_SECONDS:
        raise _reject(
            f"the file ends at {stamp(end)}, but the speech in the recording at "
            f"{stamp(speech_end)}: it belongs to another recording, or most of it is missing"
        )
