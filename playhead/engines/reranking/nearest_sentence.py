"""The nearest sentence: needs no model but the one that the searched set has anyway, and a light
one to choose what that one reads.

A passage is about many things, and the vector of the whole about none of them exactly; the one
sentence that answers tells. Not here: how the question is embedded (``playhead/search``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from playhead.core.protocols.reranker import QueryContext
from playhead.engines.embedding.wordllama import WordLlama

#: Sentences of a passage that are read for the one that answers, chosen by a model of a hundredth
#: of the cost: five find what all find, in half the time (decision 19).
MAX_CANDIDATES = 5
_LIGHT = WordLlama()
_PREFILTER_WEIGHT = 2.0  # of its cosine, beside the share of words
_PREFILTER_SENTENCES = 2_000  # characters of a question

_WORD = re.compile(r"\w+")
_STEM_LETTERS = 5  # crude, but the same for every alphabet: "asked" and "asking" meet at "ask.."


class NearestSentence:
    """As near as the nearest of a passage's sentences; where no model is at hand, by the words
    they share."""

    depth = 30  # more find little more; these take 0.15 s of a search (docs/retrieval.md)

    def scores(self, question: QueryContext, passages: Sequence[Sequence[str]]) -> list[float]:
        likely = [[told[at] for at in top_candidates(question, told)] for told in passages]
        texts = [one for sentences in likely for one in sentences]
        closeness = question.closeness(texts)  # words counted here too found less
        near = shared_word_scores(question, texts) if closeness is None else closeness
        ends = np.cumsum([len(sentences) for sentences in likely])
        return [float(part.max()) for part in np.split(near, ends[:-1])]


def top_candidates(question: QueryContext, sentences: Sequence[str]) -> list[int]:
    """The places, in order, of at most ``LIKELY`` sentences, one of which is nearest to the
    question."""
    if len(sentences) <= MAX_CANDIDATES:
        return [*range(len(sentences))]
    asked, *told = _LIGHT.embed([question.text[:_PREFILTER_SENTENCES], *sentences])
    scores = shared_word_scores(question, sentences) + _PREFILTER_WEIGHT * (np.array(told) @ asked)
    return sorted(np.argsort(-scores, kind="stable")[:MAX_CANDIDATES].tolist())


def sentence_scores(question: QueryContext, sentences: Sequence[str]) -> NDArray[np.float32]:
    """The share of the question's words that each has, 0 to 1, and its cosine to the question."""
    shared, closeness = shared_word_scores(question, sentences), question.closeness(sentences)
    return shared if closeness is None else shared + closeness


def shared_word_scores(question: QueryContext, sentences: Sequence[str]) -> NDArray[np.float32]:
    """The share of the question's words that each has, 0 to 1."""
    return np.array([_shared(question.text, one) for one in sentences], np.float32)


def _shared(query: str, text: str) -> float:
    wanted = _stems(query)
    return len(wanted & _stems(text)) / len(wanted) if wanted else 0.0


def _stems(text: str) -> set[str]:
    return {word[:_STEM_LETTERS] for word in _WORD.findall(text.lower())}
