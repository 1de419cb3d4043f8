"""Search: a question in, moments out, best first.

Embeds the question (``question.py``), finds passages (``resources/postgres/search.py``), then
the phrase within each that answers best (``moments.py``), so that a hit opens where it was said
and not where a passage begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from playhead.search.moments import Phrase, best_phrase
from playhead.search.question import Question, ask
from resources.clock import clock
from resources.engines import Embedders
from resources.media.store import MediaStore
from resources.postgres.search import Passages
from resources.postgres.sets import EmbeddingSet, EmbeddingSets
from resources.providers.errand import SEARCH, Errand, on_errand
from resources.records import ANYTHING, Filter, Source

_SPARE = 2  # passages fetched for each hit wanted, since some tell the same moment


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment of a recording: ``text`` was said from ``start_seconds`` to ``end_seconds``,
    ``passage`` is what stands around it, ``link`` opens the media there. ``matched`` names the
    legs that found it: "words", "meaning"."""

    recording: str
    title: str
    text: str
    start_seconds: float
    end_seconds: float
    score: float
    source: Source
    at: str
    link: str
    passage: str
    chunk: str
    speaker: str | None
    matched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first. ``note`` says what a person should know of how they were found;
    ``searched``: the set they were found in."""

    hits: list[Hit]
    note: str | None = None
    searched: EmbeddingSet | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """One organisation's recordings, searched with the active set."""

    passages: Passages
    sets: EmbeddingSets
    embedders: Embedders
    media: MediaStore
    org_id: str

    def __call__(
        self,
        query: str,
        *,
        narrowed: Filter = ANYTHING,
        limit: int = 10,
    ) -> Found:
        """Full text and vectors fused, the query embedded by the very model that made the active
        set. Where that model cannot be had, by words alone, and ``note`` says so."""
        with on_errand(Errand(self.org_id, SEARCH)):
            return self._search(query, narrowed, limit)

    def _search(self, query: str, narrowed: Filter, limit: int) -> Found:
        while searched := self.sets.active():
            rows, question = self._find(searched, query, narrowed, limit * _SPARE)
            if rows or self.sets.active() == searched:
                hits = [self._hit(row, question) for row in rows]
                return Found(_distinct(hits)[:limit], question.note, searched)
        return Found([], "Nothing is ready to be searched yet: playhead list")

    def _find(
        self,
        searched: EmbeddingSet,
        query: str,
        narrowed: Filter,
        limit: int,
    ) -> tuple[list[DictRow], Question]:
        question = ask(query, searched, self.embedders)
        rows = self.passages.find(
            query,
            question.vector,
            searched,
            org_id=self.org_id,
            narrowed=narrowed,
            limit=limit,
        )
        return rows, question

    def _hit(self, row: DictRow, question: Question) -> Hit:
        moment = best_phrase(question, _phrases(row))
        link = self.media.link(row["recording"], row["suffix"])
        return Hit(
            recording=row["recording"],
            title=row["title"],
            text=moment.text,
            start_seconds=moment.start_seconds,
            end_seconds=moment.end_seconds,
            score=row["score"],
            source=row["source"],
            at=clock(moment.start_seconds),
            link=f"{link}#t={moment.start_seconds:.2f}",
            passage=row["text"],
            chunk=row["chunk"],
            speaker=row["speaker"],
            matched=tuple(row["matched"]),
        )


def _phrases(row: DictRow) -> list[Phrase]:
    """The passage's sentences; the whole of it where none has a time of its own."""
    base = row["char_start"]
    return [
        Phrase(row["text"][max(0, start - base) : end - base], start_seconds, end_seconds)
        for start, end, start_seconds, end_seconds in row["phrases"]
    ] or [Phrase(row["text"], row["start_seconds"] or 0.0, row["end_seconds"] or 0.0)]


def _distinct(hits: Sequence[Hit]) -> list[Hit]:
    """Without those that tell a moment again: overlapping passages, a document's quotes."""
    kept: list[Hit] = []
    for hit in hits:
        if not any(_same_moment(hit, other) for other in kept):
            kept.append(hit)
    return kept


def _same_moment(hit: Hit, other: Hit) -> bool:
    return (
        hit.recording == other.recording
        and hit.start_seconds < other.end_seconds
        and other.start_seconds < hit.end_seconds
    )
