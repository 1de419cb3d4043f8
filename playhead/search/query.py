"""Search queries, embedded with the model of the embedding set that is searched."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np

from playhead.core.errors import (
    InvalidProviderResponse,
    ModelUnavailable,
    NotAnOpenAIEndpoint,
    Parked,
    ProviderUnavailable,
)
from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.database import replace_unstorable_chars
from playhead.postgres.search.embedding_sets import EmbeddingSet
from playhead.search.sentence_cache import SentenceCache

#: Errors after which the query is searched by full text alone.
VECTORS_UNAVAILABLE = (
    ModelUnavailable,
    NotAnOpenAIEndpoint,
    Parked,
    ProviderUnavailable,
    InvalidProviderResponse,
)

#: Maximum words for full-text search: among 100,000 chunks 32 different words took 0.2 s, 64 took
#: 0.5 s and 200 took 3.5 s, because every chunk that has one of them is ranked by all of them.
TEXT_SEARCH_ONLY = 32

_SENTENCES = 1_000  # maximum embedded per query: 3 s of MiniLM on 2 cores
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """A search query with its vector.

    ``words`` is the text for full-text search. ``vector``, and ``read``, which embeds sentences,
    are None if the embedding model is unavailable. ``notes`` tell the user how the query was
    searched.
    """

    text: str
    words: str
    read: Callable[[Sequence[str]], Vectors] | None
    vector: Vectors | None
    notes: tuple[str, ...] = ()
    _near: dict[str, float] = field(default_factory=dict)

    @property
    def note(self) -> str | None:
        return " ".join(self.notes) or None

    def closeness(self, texts: Sequence[str]) -> Vectors | None:
        """Return the cosine of each text to the query, or None without a vector.

        Each text is embedded once. Returns None as well once the query has too many texts to embed.
        """
        if self.read is None or self.vector is None:
            return None
        new = [text for text in dict.fromkeys(texts) if text not in self._near]
        if len(self._near) + len(new) > _SENTENCES:
            return None
        if new:
            try:
                near = self.read(new) @ self.vector
            except VECTORS_UNAVAILABLE:
                return None
            self._near.update(zip(new, near.tolist(), strict=True))
        return np.array([self._near[text] for text in texts], np.float32)


def build_query(
    text: str, embedding_set: EmbeddingSet, embedders: EmbedderRegistry, cache: SentenceCache
) -> Query:
    """Build the query for an embedding set.

    It has no vector if the model of the set is not available here, or its provider is unavailable.
    """
    text = replace_unstorable_chars(text).strip()
    words = _first_words(text)
    notes = (
        []
        if words == text
        else [f"Full-text search used only the first {TEXT_SEARCH_ONLY} words of the query."]
    )
    try:
        embed = partial(_embed, embedders.of(embedding_set))
        read = partial(cache.get_vectors, embedding_set.id, embed=embed)
        return Query(text, words, read, embed([text])[0], tuple(notes))
    except VECTORS_UNAVAILABLE as error:
        notes.append(f"Used full-text search only. {error} {error.remedy}")
        return Query(text, words, None, None, tuple(notes))


def _first_words(text: str) -> str:
    """Return the text up to the last word that full-text search uses."""
    excess = next(islice(_WORD.finditer(text), TEXT_SEARCH_ONLY, None), None)
    return text[: excess.start()] if excess else text


def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    return embedder.embed([_within_window(embedder, text) for text in texts])


def _within_window(embedder: Embedder, text: str) -> str:
    """Truncate a text to the model's window; its beginning is the most informative part."""
    tokens = embedder.tokenizer.offsets(text)
    window = embedder.window_tokens
    return text[: tokens[window][0]] if len(tokens) > window else text
