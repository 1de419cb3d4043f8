"""Transcripts as files that people edit, and such files read back: SubRip, WebVTT and JSON.

Here: a transcript to text in each format and back, and all that is wrong with an edited file, by
its lines. Not here: which words make a caption (``breaking.py``), lines and times (``cues.py``),
names and tags in a cue (``markup.py``), what follows from an edit (``correction.py``).
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
from playhead.transcripts.caption_layout import Caption, captions
from playhead.transcripts.cue_markup import SubRip, WebVtt, one_line
from playhead.transcripts.cue_parser import Cue, Fault, read_cues, stamp
from playhead.transcripts.word_positions import TOLERANCE_SECONDS

CaptionFormat = Literal["srt", "vtt", "json"]

#: What a file may lack at its end, beside half of the speech: engines invent words in silence,
#: and these go. One that lacks more is of another recording.
SHORTFALL_SECONDS = 60.0

_FORMATS: Final[dict[str, CaptionFormat]] = {".srt": "srt", ".vtt": "vtt", ".json": "json"}

Entry = tuple[int, Segment]  # with the number of its line, in JSON of itself


def decoded(data: bytes) -> str:
    """The text of an edited file: UTF-8, or UTF-16 with its mark. Raises ``BadCorrection``."""
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidCorrection(
            [f"line {line}: not UTF-8"], remedy="Save the file as UTF-8 and give it again."
        ) from error


def format_of(name: str, text: str) -> CaptionFormat:
    """By the file's suffix, else by how its text begins; SubRip has no mark of its own."""
    begin = text.removeprefix("\ufeff").lstrip()
    guess: CaptionFormat = "json" if begin.startswith("{") else "srt"
    if begin.startswith("WEBVTT"):
        guess = "vtt"
    return _FORMATS.get(PurePath(name).suffix.lower(), guess)


def write_captions(transcript: Transcript, caption_format: CaptionFormat) -> str:
    """Captions of readable size, their times rounded to milliseconds; JSON has all of the
    transcript, its times exactly. Ends with a line's end."""
    if caption_format == "json":
        return json.dumps(asdict(transcript), ensure_ascii=False, indent=1) + "\n"
    markup = _markup(caption_format, transcript)
    point = "." if caption_format == "vtt" else ","
    cues = (
        f"{stamp(one.start, point)} --> {stamp(one.end, point)}\n"
        f"{markup.write(one.text, transcript.segments[one.segment].speaker)}\n"
        for one in captions(transcript, markup.lead)
    )
    if caption_format == "vtt":
        return "".join(["WEBVTT\n", *(f"\n{cue}" for cue in cues)])
    return "\n".join(f"{number}\n{cue}" for number, cue in enumerate(cues, 1))


def _markup(caption_format: CaptionFormat, transcript: Transcript) -> WebVtt | SubRip:
    return WebVtt() if caption_format == "vtt" else SubRip(transcript)


def read_captions(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> tuple[Segment, ...]:
    """The segments in an edited file of this transcript, for ``correct_all``; blank ones are
    left out. Captions that ``write_captions`` made of one segment are one again, as long as they
    have their times. A time that is one of the transcript's in milliseconds is that to the bit.
    Of JSON only ``segments`` count, and ``duration_seconds`` must be the recording's if it is
    there.

    Raises ``BadCorrection`` with all that is wrong: what cannot be read, times that go back or
    lie outside the recording (by more than ``TOLERANCE_SECONDS``); no text; another length.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise _refused("the file is empty")
    if caption_format == "json":
        place, found = "segments[{}]: {}", list(_from_json(text, transcript))
    else:
        place, found = "line {}: {}", list(_from_cues(text, caption_format, transcript))
    entries = [one for one in found if not isinstance(one, Fault)]
    faults = [one for one in found if isinstance(one, Fault)]
    faults += _misfits(entries, transcript.duration_seconds)
    if faults:
        faults.sort(key=lambda fault: fault.line)
        raise _refused(*(place.format(fault.line, fault.what) for fault in faults))
    segments = tuple(segment for _, segment in entries if segment.text)
    _insist_on_length(segments, transcript)
    return segments


def _refused(*problems: str) -> InvalidCorrection:
    return InvalidCorrection(
        problems, remedy="Mend the file and give it again; nothing was changed."
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A cue, and the caption as which it was written, if it was."""

    line: int
    segment: Segment
    caption: Caption | None

    @property
    def entry(self) -> Entry:
        return self.line, self.segment

    def goes_on(self, before: _Read) -> bool:
        """Whether this is what the file had next of the same segment, said by the same person."""
        one, other = before.caption, self.caption
        speaks = self.segment.speaker in (None, before.segment.speaker)
        return bool(one and other and not other.begins and one.segment == other.segment and speaks)

    def joined(self, after: _Read) -> _Read:
        one, other = self.segment, after.segment
        text = one_line(f"{one.text}\n{other.text}")
        return replace(after, line=self.line, segment=replace(one, text=text, end=other.end))


def _from_cues(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> Iterator[Entry | Fault]:
    before: _Read | None = None
    for one in _read(text, caption_format, transcript):
        if isinstance(one, Fault):
            yield one
        elif before and one.goes_on(before):
            before = before.joined(one)
        else:
            if before:
                yield before.entry
            before = one
    if before:
        yield before.entry


def _read(
    text: str, caption_format: CaptionFormat, transcript: Transcript
) -> Iterator[_Read | Fault]:
    markup = _markup(caption_format, transcript)
    written = _Written(transcript, captions(transcript, markup.lead))
    for cue in read_cues(text, webvtt=caption_format == "vtt"):
        if isinstance(cue, Fault):
            yield cue
            continue
        try:
            speaker, said = markup.read(cue.text)
        except ValueError as error:
            yield Fault(cue.line, str(error))
        else:
            caption = written.next_as(cue)
            start, end = written.seconds(cue, caption)
            language = _language_at(start, transcript)
            yield _Read(cue.line, Segment(said, start, end, speaker, language), caption)


class _Written:
    """The captions of a file before anybody edited it."""

    def __init__(self, transcript: Transcript, written: Iterator[Caption]) -> None:
        self._starts = {stamp(segment.start): segment.start for segment in transcript.segments}
        self._ends = {stamp(segment.end): segment.end for segment in transcript.segments}
        self._captions: dict[tuple[str, str], list[Caption]] = {}
        for one in written:
            self._captions.setdefault((stamp(one.start), stamp(one.end)), []).append(one)

    def next_as(self, cue: Cue) -> Caption | None:
        """The caption with exactly these times; of several, the first that was not had."""
        same = self._captions.get((stamp(cue.start), stamp(cue.end)))
        return same.pop(0) if same else None

    def seconds(self, cue: Cue, caption: Caption | None) -> tuple[float, float]:
        """Its times to the bit."""
        if caption:
            return caption.start, caption.said_until
        start, end = stamp(cue.start), stamp(cue.end)
        return self._starts.get(start, cue.start), self._ends.get(end, cue.end)


def _language_at(seconds: float, transcript: Transcript) -> str | None:
    """Captions say no language: that of the segment which was there."""
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


def _from_json(text: str, transcript: Transcript) -> Iterator[Entry | Fault]:
    try:
        file = EditedFile.model_validate_json(text)
    except ValidationError as error:
        raise _refused(*_messages(error)) from error
    length, duration = file.duration_seconds, transcript.duration_seconds
    if length is not None and abs(length - duration) > TOLERANCE_SECONDS:
        raise _refused(f"duration_seconds: {length}, but the recording has {duration}")
    for at, item in enumerate(file.segments):
        try:
            one = EditedSegment.model_validate(item)
        except ValidationError as error:
            yield from (Fault(at, message) for message in _messages(error))
        else:
            yield at, Segment(one.text.strip(), one.start, one.end, one.speaker, one.language)


def _messages(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(map(str, fault["loc"]))
        yield f"{where}: {fault['msg']}" if where else fault["msg"]


def _misfits(entries: Sequence[Entry], duration: float) -> Iterator[Fault]:
    """A segment with impossible times is not what the next is compared with."""
    before = Segment("", 0.0, 0.0)
    for place, one in entries:
        faults = list(_impossible(one, before, duration))
        yield from (Fault(place, what) for what in faults)
        before = before if faults else one


def _impossible(one: Segment, before: Segment, duration: float) -> Iterator[str]:
    if one.end < one.start - TOLERANCE_SECONDS:
        yield f"ends at {stamp(one.end)}, before it starts at {stamp(one.start)}"
    if one.start < -TOLERANCE_SECONDS:
        yield f"starts at {one.start} s, before the recording"
    elif one.start < before.start - TOLERANCE_SECONDS:
        yield f"starts at {stamp(one.start)}, before the one above at {stamp(before.start)}"
    elif one.end < before.end - TOLERANCE_SECONDS:
        yield f"ends at {stamp(one.end)}, before the one above at {stamp(before.end)}"
    if one.end > duration + TOLERANCE_SECONDS:
        yield f"ends at {stamp(one.end)}, after the recording at {stamp(duration)}"


def _insist_on_length(segments: Sequence[Segment], transcript: Transcript) -> None:
    if not segments:
        raise _refused("there are no words in the file")
    spoken = max((segment.end for segment in transcript.segments), default=0.0)
    end = segments[-1].end
    if end < spoken / 2 and spoken - end > SHORTFALL_SECONDS:
        raise _refused(
            f"the file ends at {stamp(end)}, what is said in the recording at {stamp(spoken)}: "
            "it is another recording's, or most of it is missing"
        )
