"""Phrases: the sentences of a passage, each with its seconds, so that a search hit can open
where its words were said and not where a long passage begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from resources.records import Chunk, Document, TimedSpan, Transcript
from resources.sentences import sentences
from resources.transcripts.timing import overlapping, segment_spans, span_of


def spoken_phrases(transcript: Transcript, spans: Sequence[TimedSpan]) -> tuple[TimedSpan, ...]:
    """The transcript's sentences, cut where its segments are too: a speaker's sentence may be
    a minute long. ``spans``: its ``transcript_spans``."""
    text = transcript.text
    edges = {at for span in sentences(text, transcript.language) for at in span}
    edges |= {span.char_start for span in segment_spans(text, transcript.segments)}
    return tuple(
        phrase
        for start, end in pairwise(sorted(edges))
        if (phrase := _timed(text, start, end, spans)) is not None
    )


def written_phrases(document: Document) -> tuple[TimedSpan, ...]:
    """The document's quotes; of those from the same seconds the longest, so that a key phrase
    does not stand for its sentence."""
    longest: dict[tuple[float, float], TimedSpan] = {}
    for span in document.spans:
        seconds = (span.start_seconds, span.end_seconds)
        if seconds not in longest or _length(longest[seconds]) < _length(span):
            longest[seconds] = span
    return tuple(sorted(longest.values(), key=lambda span: span.char_start))


def with_phrases(chunk: Chunk, phrases: Sequence[TimedSpan]) -> Chunk:
    """The chunk with those of its source's phrases that it holds, wholly or in part."""
    inside = overlapping(phrases, chunk.char_start, chunk.char_end)
    return replace(chunk, phrases=tuple(inside))


def _length(span: TimedSpan) -> int:
    return span.char_end - span.char_start


def _timed(text: str, start: int, end: int, spans: Sequence[TimedSpan]) -> TimedSpan | None:
    said = text[start:end]
    start += len(said) - len(said.lstrip())
    end -= len(said) - len(said.rstrip())
    start_seconds, end_seconds = span_of(spans, start, end)
    if start >= end or start_seconds is None or end_seconds is None:
        return None
    return TimedSpan(start, end, start_seconds, end_seconds)
