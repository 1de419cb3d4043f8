"""Search service: from a query to moments or whole recordings, best first.

Embeds the query, finds chunks, merges those that touch, reranks them if a reranker is configured,
and opens each where it was spoken. All searches go through this service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from playhead.core.call_context import SEARCH, CallContext, call_context
from playhead.core.errors import InvalidQuery
from playhead.core.protocols.reranker import Reranker
from playhead.core.records import KINDS, NO_FILTER, SOURCES, Kind, SearchFilter
from playhead.engines.registry import EmbedderRegistry, build_embedders
from playhead.engines.reranking.factory import build_reranker
from playhead.media.store import MediaStore
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.embedding_sets import EmbeddingSet, EmbeddingSets
from playhead.search.best_sentence import best_sentence, candidate_sentences
from playhead.search.hits import Hit, build_hit, drop_duplicates, mark_words
from playhead.search.passage_groups import PassageGroup, group_passages
from playhead.search.query import Query, build_query
from playhead.search.sentence_cache import SentenceCache
from playhead.services.context import Services

MAX_HITS = 1_000  # per search
RERANK_DEPTH = 3  # moments per recording

_SPARE_HITS = 5  # additional groups, since some show the same moment
_SMOOTH, _SECOND_VOTE = 3, 0.5  # rank fusion of the reranker's order with the original one
_DEPTH_FACTOR = 4  # if there were not enough hits
_RECORDINGS_PER_QUERY = 32  # groups whose sentences are embedded together
_SearchState = TypeVar("_SearchState")  # moments or recordings
_NO_VECTORS_NOTE = "No recording is ready to be searched yet: playhead list"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of a search, best first.

    ``note`` tells the user how they were found. ``searched`` is the embedding set they were found
    in, ``question`` the query as it was built for that set.
    """

    hits: list[Hit]
    note: str | None = None
    searched: EmbeddingSet | None = None
    question: Query | None = None


@dataclass(frozen=True, slots=True)
class RecordingHit:
    """A recording that matches the query, with its best moments, at most ``RERANK_DEPTH``."""

    recording: str
    title: str
    kind: Kind
    added: datetime
    score: float
    hits: list[Hit]


@dataclass(frozen=True, slots=True)
class RecordingSearchResult:
    """The recordings of a search, with ``note`` and ``searched`` as in ``SearchResult``."""

    recordings: list[RecordingHit]
    note: str | None = None
    searched: EmbeddingSet | None = None


@dataclass(frozen=True, slots=True)
class _SearchRequest:
    """A query to one embedding set, with its filter."""

    question: Query
    searched: EmbeddingSet
    filters: SearchFilter


@dataclass(frozen=True, slots=True)
class SearchService:
    """Search in one organisation's recordings with the active embedding set.

    Keep the instance: its sentence cache makes the next search cheaper.
    """

    passages: ChunkSearch
    sets: EmbeddingSets
    embedders: EmbedderRegistry
    media: MediaStore
    org_id: str
    reranker: Reranker | None = None
    cache: SentenceCache = field(default_factory=SentenceCache)

    def __call__(
        self, query: str, *, filters: SearchFilter = NO_FILTER, limit: int = 10
    ) -> SearchResult:
        """Search by full text and vectors, fused, and return the hits.

        The query is embedded with the model of the active set. If that model is unavailable, only
        full text is searched, and ``note`` reports it. There are fewer than ``limit`` hits only if
        there are no more. Raises ``InvalidQuery``, and ``NotFound`` if the filter names something
        that the organisation does not have.
        """
        hits, request = self._searched(query, filters, limit, self._find_hits)
        return SearchResult(hits, *_join_notes(request), request.question if request else None)

    def recordings(
        self, query: str, *, filters: SearchFilter = NO_FILTER, limit: int = 10
    ) -> RecordingSearchResult:
        """Search as a call does, and group the hits by recording.

        Recordings are ordered by the total score of their best moments.
        """
        found, request = self._searched(query, filters, limit, self._recordings)
        return RecordingSearchResult(found, *_join_notes(request))

    def _searched(
        self,
        query: str,
        filters: SearchFilter,
        limit: int,
        read: Callable[[_SearchRequest, int], list[_SearchState]],
    ) -> tuple[list[_SearchState], _SearchRequest | None]:
        """Run a search, and return its results and the request.

        The request is None while no embedding set can be searched.
        """
        _validate(query, filters, limit)
        self.passages.require(filters, org_id=self.org_id)
        with call_context(CallContext(self.org_id, SEARCH)):
            while embedding_set := self.sets.active():
                request = _SearchRequest(
                    build_query(query, embedding_set, self.embedders, self.cache),
                    embedding_set,
                    filters,
                )
                found = read(request, limit)
                if (
                    found or self.sets.active() == embedding_set
                ):  # otherwise the set was switched meanwhile
                    return found, request
        return [], None

    def _find_hits(self, request: _SearchRequest, limit: int) -> list[Hit]:
        page: list[Hit] = []
        for found in self._expand_depth(request, 2 * limit + _SPARE_HITS):
            page = self._page(request.question, found, limit)
            if len(page) == limit:
                break
        return mark_words(page, request.question.words, self.passages)

    def _recordings(self, request: _SearchRequest, limit: int) -> list[RecordingHit]:
        groups: dict[str, list[PassageGroup]] = {}
        for found in self._expand_depth(request, RERANK_DEPTH * limit + _SPARE_HITS):
            groups = _by_recording(found)
            if len(groups) >= limit:
                break
        best = sorted(groups.values(), key=_weight, reverse=True)[:limit]
        return [self._recording_hit(request.question, result) for result in best]

    def _recording_hit(self, question: Query, found: Sequence[PassageGroup]) -> RecordingHit:
        hits = self._page(question, found[: RERANK_DEPTH + _SPARE_HITS], RERANK_DEPTH)
        best = found[0].best
        return RecordingHit(
            recording=best.recording,
            title=best.title,
            kind=best.kind,
            added=best.added,
            score=_weight(found),
            hits=mark_words(hits, question.words, self.passages),
        )

    def _expand_depth(self, request: _SearchRequest, depth: int) -> Iterator[list[PassageGroup]]:
        """Yield all results down to a depth, then down to greater depths.

        Ends when there are no more.
        """
        find = partial(
            self.passages.find,
            request.question.words,
            request.question.vector,
            request.searched,
            org_id=self.org_id,
            filters=request.filters,
        )
        depth = max(depth, self.reranker.depth if self.reranker else 0)
        while True:
            matches = find(limit=depth)
            yield self._reranked(request.question, group_passages(matches))
            if len(matches) < depth:
                return
            depth *= _DEPTH_FACTOR

    def _reranked(self, question: Query, found: list[PassageGroup]) -> list[PassageGroup]:
        if self.reranker is None or not found:
            return found
        head, rest = found[: self.reranker.depth], found[self.reranker.depth :]
        sentences = [[sentence.text for sentence in group.sentences] for group in head]
        scores = self.reranker.scores(question, sentences)
        return [*(head[at] for at in _fuse_ranks(scores)), *rest]

    def _page(self, question: Query, found: Sequence[PassageGroup], limit: int) -> list[Hit]:
        """Return the hits for the first ``limit`` moments of these groups."""
        hits: list[Hit] = []
        rest = deque(found)
        while rest and len(hits) < limit:
            count = min(max(limit - len(hits), _SPARE_HITS), _RECORDINGS_PER_QUERY)
            batch = [rest.popleft() for _ in range(min(count, len(rest)))]
            candidates = [candidate_sentences(question, group.sentences) for group in batch]
            question.closeness(
                [sentence.text for sentences in candidates for sentence in sentences]
            )
            moments = [best_sentence(question, sentences) for sentences in candidates]
            page = (build_hit(*pair, self.media) for pair in zip(batch, moments, strict=True))
            hits = drop_duplicates([*hits, *page])
        return hits[:limit]


def open_search(services: Services, org_id: str) -> SearchService:
    """Build the search service of an organisation from the settings."""
    return SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        build_embedders(services.settings),
        services.files.media,
        org_id,
        build_reranker(services.settings),
    )


def _fuse_ranks(scores: Sequence[float] | NDArray[np.float32]) -> list[int]:
    """Return the indices of the reranked groups in their fused order.

    The original order has a full vote, the order of the scores a partial one: neither alone finds
    as much (docs/retrieval.md).
    """
    indices = range(len(scores))
    reranked = {
        index: rank
        for rank, index in enumerate(sorted(indices, key=lambda index: -scores[index]), 1)
    }

    def votes(index: int) -> float:
        return 1 / (_SMOOTH + index + 1) + _SECOND_VOTE / (_SMOOTH + reranked[index])

    return sorted(indices, key=votes, reverse=True)  # stable: ties keep their order


def _by_recording(found: Sequence[PassageGroup]) -> dict[str, list[PassageGroup]]:
    groups: dict[str, list[PassageGroup]] = {}
    for group in found:
        groups.setdefault(group.best.recording, []).append(group)
    return groups


def _weight(found: Sequence[PassageGroup]) -> float:
    return sum(group.best.score for group in found[:RERANK_DEPTH])


def _join_notes(request: _SearchRequest | None) -> tuple[str | None, EmbeddingSet | None]:
    return (request.question.note, request.searched) if request else (_NO_VECTORS_NOTE, None)


def _validate(query: str, filters: SearchFilter, limit: int) -> None:
    """Raise ``InvalidQuery`` if the query, limit or filter is invalid.

    Values that come over HTTP have not been checked against their types.
    """
    since, until = filters.since, filters.until
    begin, end = filters.from_seconds, filters.to_seconds
    conditions = {
        "the query is empty": not query.strip(),
        f"limit is {limit}, but must be from 1 to {MAX_HITS}": not 1 <= limit <= MAX_HITS,
        f"kind must be one of {', '.join(KINDS)}": not {*filters.kinds} <= {*KINDS},
        f"source must be one of {', '.join(SOURCES)}": filters.source not in (None, *SOURCES),
        "since must be before until": bool(since and until and since >= until),
        "from must be before to": (begin is not None and end is not None and begin >= end),
    }
    if found := [fault for fault, invalid in conditions.items() if invalid]:
        raise InvalidQuery(
            f"Invalid search: {'; '.join(found)}.", remedy="See playhead search --help"
        )
