"""Apply a person's edits to a transcript; unchanged text and times are preserved exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from playhead.core.errors import InvalidCorrection, InvalidEngineOutput
from playhead.core.records import Segment, Transcript
from playhead.transcripts.alignment import Range, align, edit_tokens
from playhead.transcripts.retiming import Edit, retime


def correct_segment(transcript: Transcript, segment_index: int, text: str) -> Transcript:
    """Replace the text of one segment (counted from 0); a blank text removes it.

    See ``correct_all``. Raises ``InvalidCorrection`` if there is no such segment.
    """
    segments = list(transcript.segments)
    if not 0 <= segment_index < len(segments):
        raise InvalidCorrection(
            [f"segment {segment_index}: there are {len(segments)} segments, counted from 0"],
            remedy="Check the number in the transcript.",
        )
    segments[segment_index] = replace(segments[segment_index], text=text.strip())
    return correct_all(transcript, segments)


def correct_all(transcript: Transcript, segments: Sequence[Segment]) -> Transcript:
    """Replace the segments of a transcript; ``segments`` are ordered by time.

    Blank segments are dropped. Text and words that both versions share keep their characters and
    times exactly, even if they moved to another segment; a change of white space alone is not an
    edit. Other words get their times from ``retime``. Raises ``InvalidEngineOutput`` if the old
    segments do not cover the old text.
    """
    edit = _build_edit(transcript, [segment for segment in segments if segment.text.strip()])
    original_texts = {segment.text.strip(): segment.text for segment in transcript.segments}
    texts = [edit.text[start:end] for start, end in edit.segment_ranges]
    return replace(
        transcript,
        text=edit.text,
        words=retime(transcript.words, edit, transcript.duration_seconds),
        segments=tuple(
            replace(segment, text=original_texts.get(text, text))  # engines may put a space before
            for segment, text in zip(edit.segments, texts, strict=True)
        ),
    )


def _build_edit(transcript: Transcript, segments: Sequence[Segment]) -> Edit:
    text, ranges = transcript.text, _segment_ranges(transcript)
    between = text[ranges[0][1] : ranges[1][0]] if ranges[1:] else " "
    old = [atom for tokens in ranges for atom in edit_tokens(text, *tokens)]
    new = [
        _pieces(segment.text.strip(), between if at else "") for at, segment in enumerate(segments)
    ]
    pieces = [piece for tokens in new for piece in tokens]
    matches = align([text[start:end] for start, end in old], [atom for _, atom in pieces])
    corrected, placed = _compose(text, old, pieces, matches)
    ends = accumulate(map(len, new))
    segment_ranges = [
        (placed[end - len(tokens)][0], placed[end - 1][1])
        for tokens, end in zip(new, ends, strict=True)
    ]
    return Edit(text, old, corrected, placed, matches, segments, segment_ranges)


def _segment_ranges(transcript: Transcript) -> list[Range]:
    """Return the range of each segment in the text.

    Raises ``InvalidEngineOutput`` if the segments do not cover all of the text, because text
    outside every segment could not be corrected.
    """
    text, cursor = transcript.text, 0
    ranges: list[Range] = []
    for segment in transcript.segments:
        bare = segment.text.strip()
        start = text.find(bare, cursor)
        if start < 0 or text[cursor:start].strip():
            break
        cursor = start + len(bare)
        ranges.append((start, cursor))
    if len(ranges) < len(transcript.segments) or text[cursor:].strip():
        raise InvalidEngineOutput(
            f"after character {cursor} the transcript's text differs from its segments",
            remedy="Transcribe the recording again before you correct it.",
        )
    return ranges


def _pieces(text: str, before: str) -> list[tuple[str, str]]:
    """Return the tokens of a segment, each with the white space before it."""
    found = edit_tokens(text)
    gaps = [before, *(text[a[1] : b[0]] for a, b in pairwise(found))]
    return [(gap, text[start:end]) for gap, (start, end) in zip(gaps, found, strict=True)]


def _compose(
    text: str,
    old: Sequence[Range],
    pieces: Sequence[tuple[str, str]],
    matches: Sequence[int | None],
) -> tuple[str, list[Range]]:
    """Return the new text and the ranges of its tokens.

    Tokens that are still neighbours keep the characters that were between them.
    """
    parts: list[str] = []
    placed: list[Range] = []
    length, before, cursor = 0, -1, 0
    for (gap, atom), match in zip(pieces, matches, strict=True):
        if match is not None and match == before + 1:
            gap = text[cursor : old[match][0]]
        start = length + len(gap)
        length = start + len(atom)
        placed.append((start, length))
        parts += (gap, atom)
        before, cursor = (-2, cursor) if match is None else (match, old[match][1])
    end = text[cursor:] if before == len(old) - 1 else ""
    return "".join(parts) + end, placed
