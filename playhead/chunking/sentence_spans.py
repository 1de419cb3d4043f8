"""Timed sentences of chunks.

A search hit can open where its words were spoken, not where a long chunk begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from playhead.core.records import Chunk, Document, TimedSpan
from playhead.core.sentences import split_multilingual, strip_range
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import TimedText


def transcript_sentences(transcript: TimedText) -> tuple[TimedSpan, ...]:
    """Return the timed sentences of a transcript, split at segments as well.

    A single speaker's sentence may be a minute long.
    """
    text = transcript.text
    starts = [start for start, _ in split_multilingual(text, transcript.language_runs)]
    edges = sorted({*starts, *transcript.breaks, len(text)})
    ranges = [strip_range(text, *pair) for pair in pairwise(edges)]
    sentence_ranges = [(start, end) for start, end in ranges if start < end]
    return tuple(
        TimedSpan(*at, start_seconds, end_seconds)
        for at, (start_seconds, end_seconds) in zip(
            sentence_ranges, transcript.timeline.seconds(sentence_ranges), strict=True
        )
        if start_seconds is not None and end_seconds is not None
    )


def document_quotes(document: Document) -> tuple[TimedSpan, ...]:
    """Return the quotes of a document, ordered by position.

    Of quotes with the same times only the longest is returned, so that a key phrase does not
    replace its sentence.
    """
    quotes: dict[tuple[float, float], TimedSpan] = {}
    for span in document.spans:
        seconds = (span.start_seconds, span.end_seconds)
        if seconds not in quotes or _length(quotes[seconds]) < _length(span):
            quotes[seconds] = span
    return tuple(sorted(quotes.values(), key=lambda span: span.char_start))


def attach_sentences(chunks: Sequence[Chunk], sentences: Sequence[TimedSpan]) -> Iterator[Chunk]:
    """Yield the chunks with the sentences of their source that each overlaps."""
    ranges = [(chunk.char_start, chunk.char_end) for chunk in chunks]
    rows = zip(chunks, *Timeline.of(sentences).within(ranges), strict=True)
    return (replace(chunk, phrases=tuple(sentences[first:last])) for chunk, first, last in rows)


def _length(span: TimedSpan) -> int:
    return span.char_end - span.char_start
