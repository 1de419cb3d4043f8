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


def build_hit(stretch: PassageGroup, moment: Sentence, media: MediaStore) -> Hit:
    """Build a hit, without its marks."""
    best = stretch.best
    link = media_link(media.link(best.recording, best.suffix), moment.start_seconds)
    return Hit(
        recording=best.recording,
        title=best.title,
        kind=best.kind,
        added=best.added,
        text=moment.text,
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
        score=best.score,
        source=best.source,
        timecode=format_timecode(moment.start_seconds),
        link=link,
        passage=stretch.text,
        text_range=moment.within,
        chunk=moment.match.chunk,
        chunks=tuple(match.chunk for match in stretch.matches),
        speaker=moment.match.speaker,
        matched=stretch.matched,
        cosine=stretch.cosine,
        config=best.config,
    )


def drop_duplicates(hits: Sequence[Hit]) -> list[Hit]:
    """Return each moment once.

    Of overlapping hits the transcript is preferred to a document written from it, at the rank of
    the better one.
    """
    kept: list[Hit] = []
    for hit in hits:
        same = next((at for at, other in enumerate(kept) if _overlaps(hit, other)), None)
        if same is None:
            kept.append(hit)
        elif hit.source == "transcript" and kept[same].source == "document":
            kept[same] = replace(hit, score=kept[same].score)
    return kept


def mark_words(hits: Sequence[Hit], words: str, passages: ChunkSearch) -> list[Hit]:
    """Return the hits with the query's words marked, as full-text search matches them."""
    found = [[match.span() for match in _WORD.finditer(hit.passage)] for hit in hits]
    asked = {
        (hit.config, hit.passage[start:end])
        for hit, spans in zip(hits, found, strict=True)
        for start, end in spans
    }
    known = passages.matching_words(words, asked)
    return [
        _with_marks(
            hit, [span for span in spans if (hit.config, hit.passage[slice(*span)]) in known]
        )
        for hit, spans in zip(hits, found, strict=True)
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
