"""Speakers by the names that people gave them, and back to the labels of the transcript.

Pure functions. Not here: where names are kept (``playhead/postgres/pipeline/transcript_versions.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from playhead.core.records import Segment, Transcript
from playhead.transcripts.cue_markup import one_line


def named(transcript: Transcript, names: Mapping[str, str]) -> Transcript:
    """The transcript with names, by label, in place of the labels that have one."""
    segments = tuple(
        replace(one, speaker=_shown(one.speaker, names)) if one.speaker else one
        for one in transcript.segments
    )
    return replace(transcript, segments=segments)


def labelled(
    segments: Iterable[Segment], transcript: Transcript, names: Mapping[str, str]
) -> tuple[Segment, ...]:
    """Segments with the transcript's labels in place of ``names``. Where two have the same name,
    it is the one who spoke then; a name that nobody has is a speaker that is new."""
    called: dict[str, list[str | None]] = {}
    for label in dict.fromkeys(one.speaker for one in transcript.segments if one.speaker):
        called.setdefault(one_line(_shown(label, names)), []).append(label)

    def meant(one: Segment) -> str | None:
        labels = called.get(one_line(one.speaker or ""), [one.speaker])
        then = _speaker_at(one.start, transcript.segments)
        return then if then in labels else labels[0]

    return tuple(replace(one, speaker=meant(one)) for one in segments)


def _shown(label: str, names: Mapping[str, str]) -> str:
    return names.get(label, label)


def _speaker_at(seconds: float, segments: Sequence[Segment]) -> str | None:
    at = bisect_right(segments, seconds, key=attrgetter("start"))
    return segments[at - 1].speaker if at else None
