"""A question, and what it is near to: embedded by the model of the set that is searched.

Not here: finding passages (``search.py``), choosing the moment (``moments.py``).
"""

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

#: A question is answered all the same, by words.
VECTORS_UNAVAILABLE = (
    ModelUnavailable,
    NotAnOpenAIEndpoint,
    Parked,
    ProviderUnavailable,
    InvalidProviderResponse,
)

#: Full text is asked for so many words: among 100,000 passages 32 different ones took 0.2 s, 64
#: took 0.5 and 200 took 3.5, for every passage that has one of them is ranked by them all.
TEXT_SEARCH_ONLY = 32

_SENTENCES = 1_000  # embedded for one question at most: 3 s of MiniLM on 2 cores
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """``words``: what full text is asked. ``vector``, and ``read``, which gives those of sentences,
    are None where the set's model cannot be had. ``notes`` say what a person should know of how it
    was asked."""

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
        """The cosine of each text to the question. Each is embedded once; None once there were too
        many."""
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
    text: str, searched: EmbeddingSet, embedders: EmbedderRegistry, memory: SentenceCache
) -> Query:
    """The question for this set, or without a vector where nobody here speaks its model, or its
    provider does not answer now."""
    text = replace_unstorable_chars(text).strip()
    words = _first_words(text)
    notes = (
        []
        if words == text
        else [f"Searched for its first {TEXT_SEARCH_ONLY} words, and its meaning."]
    )
    try:
        embed = partial(_embed, embedders.of(searched))
        read = partial(memory.get_vectors, searched.id, embed=embed)
        return Query(text, words, read, embed([text])[0], tuple(notes))
    except VECTORS_UNAVAILABLE as error:
        notes.append(f"Searched by words alone. {error} {error.remedy}")
        return Query(text, words, None, None, tuple(notes))


def _first_words(text: str) -> str:
    """The text to the end of its last word that full text is asked for."""
    beyond = next(islice(_WORD.finditer(text), TEXT_SEARCH_ONLY, None), None)
    return text[: beyond.start()] if beyond else text


def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    return embedder.embed([_within_window(embedder, text) for text in texts])


def _within_window(embedder: Embedder, text: str) -> str:
    """A question may be longer than the model reads; its beginning tells most."""
    tokens = embedder.tokenizer.offsets(text)
    window = embedder.window_tokens
    return text[: tokens[window][0]] if len(tokens) > window else text
