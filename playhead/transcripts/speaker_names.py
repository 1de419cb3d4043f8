"""Replace speaker labels by the names that people gave them, and back. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from playhead.core.records import Segment, Transcript
from playhead.transcripts.cue_markup import one_line


def with_names(transcript: Transcript, names: Mapping[str, str]) -> Transcript:
    """Return the transcript with speaker labels replaced by their names, where they have one."""
    segments = tuple(
        replace(segment, speaker=_shown(segment.speaker, names)) if segment.speaker else segment
        for segment in transcript.segments
    )
    return replace(transcript, segments=segments)


def with_labels(
    segments: Iterable[Segment], transcript: Transcript, names: Mapping[str, str]
) -> tuple[Segment, ...]:
    """Return segments with speaker names replaced by the transcript's labels.

    If two labels have the same name, the one that spoke at that time is used. A name that no label
    has becomes a new speaker.
    """
    labels_by_name: dict[str, list[str | None]] = {}
    for label in dict.fromkeys(
        segment.speaker for segment in transcript.segments if segment.speaker
    ):
        labels_by_name.setdefault(one_line(_shown(label, names)), []).append(label)

    def label_of(segment: Segment) -> str | None:
        labels = labels_by_name.get(one_line(segment.speaker or ""), [segment.speaker])
        current = _speaker_at(segment.start, transcript.segments)
        return current if current in labels else labels[0]

    return tuple(replace(segment, speaker=label_of(segment)) for segment in segments)


def _shown(label: str, names: Mapping[str, str]) -> str:
    return names.get(label, label)


def _speaker_at(seconds: float, segments: Sequence[Segment]) -> str | None:
    at = bisect_right(segments, seconds, key=attrgetter("start"))
    return segments[at - 1].speaker if at else None
