"""Search hits: a moment of a recording with its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from playhead.core.media_links import media_link
from playhead.core.records import Kind, Source
from playhead.core.timecode import format_timecode
from playhead.media.store import MediaStore
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.search.best_sentence import Sentence
from playhead.search.passage_groups import PassageGroup

_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+")

TextRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment of a recording that matches the query.

    ``text`` is the best sentence, spoken from ``start_seconds`` to ``end_seconds`` by ``speaker``;
    ``link`` opens the media there. ``passage`` is the text around it, from ``chunks``, which
    contains it at ``text_range`` (characters); ``chunk`` is the one with the sentence.

    ``matched`` is the rank, from 1, in each search leg that found it ("text", "vector").
    ``marks`` are the ranges of the query's ``words`` in the passage (characters). ``cosine`` is the
    similarity of the passage to the query, None if vector search did not find it.
    """

    recording: str
    title: str
    kind: Kind
    added: datetime
    text: str
    start_seconds: float
    end_seconds: float
    score: float
    source: Source
    timecode: str
    link: str
    passage: str
    text_range: TextRange
    chunk: str
    chunks: tuple[str, ...]
    speaker: str | None
    matched: Mapping[str, int]
    cosine: float | None
    config: str
    marks: tuple[TextRange, ...] = ()
    words: tuple[str, ...] = ()


def build_hit(group: PassageGroup, sentence: Sentence, media: MediaStore) -> Hit:
    """Build a hit, without its marks."""
    best = group.best
    link = media_link(media.link(best.recording, best.suffix), sentence.start_seconds)
    return Hit(
        recording=best.recording,
        title=best.title,
        kind=best.kind,
        added=best.added,
        text=sentence.text,
        start_seconds=sentence.start_seconds,
        end_seconds=sentence.end_seconds,
        score=best.score,
        source=best.source,
        timecode=format_timecode(sentence.start_seconds),
        link=link,
        passage=group.text,
        text_range=sentence.within,
        chunk=sentence.match.chunk,
        chunks=tuple(match.chunk for match in group.matches),
        speaker=sentence.match.speaker,
        matched=group.matched,
        cosine=group.cosine,
        config=best.config,
    )


def drop_duplicates(hits: Sequence[Hit]) -> list[Hit]:
    """Return each moment once.

    Of overlapping hits the transcript is preferred to a document written from it, at the rank of
    the better one.
    """
    unique: list[Hit] = []
    for hit in hits:
        index = next((number for number, other in enumerate(unique) if _overlaps(hit, other)), None)
        if index is None:
            unique.append(hit)
        elif hit.source == "transcript" and unique[index].source == "document":
            unique[index] = replace(hit, score=unique[index].score)
    return unique


def mark_words(hits: Sequence[Hit], words: str, passages: ChunkSearch) -> list[Hit]:
    """Return the hits with the query's words marked, as full-text search matches them."""
    spans_by_hit = [[match.span() for match in _WORD.finditer(hit.passage)] for hit in hits]
    candidates = {
        (hit.config, hit.passage[start:end])
        for hit, spans in zip(hits, spans_by_hit, strict=True)
        for start, end in spans
    }
    matching = passages.matching_words(words, candidates)
    return [
        _with_marks(
            hit, [span for span in spans if (hit.config, hit.passage[slice(*span)]) in matching]
        )
        for hit, spans in zip(hits, spans_by_hit, strict=True)
    ]


def _with_marks(hit: Hit, spans: Sequence[TextRange]) -> Hit:
    words = dict.fromkeys(hit.passage[start:end].lower() for start, end in spans)
    return replace(hit, marks=tuple(spans), words=tuple(words))


def _overlaps(hit: Hit, other: Hit) -> bool:
    return (
        hit.recording == other.recording
        and hit.start_seconds < other.end_seconds
        and other.start_seconds < hit.end_seconds
    )
