"""Reranker by the most similar sentence.

It needs no model except that of the searched embedding set and a light one that preselects
sentences. A chunk has many topics, and its vector matches none of them exactly; the single sentence
that answers the question does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from playhead.core.protocols.reranker import QueryContext
from playhead.engines.embedding.wordllama import WordLlama

#: Maximum number of sentences per chunk that are compared with the question, preselected by a model
#: of a hundredth of the cost: five give the same results as all, in half the time (decision 19).
MAX_CANDIDATES = 5
_LIGHT = WordLlama()
_PREFILTER_WEIGHT = 2.0  # weight of the cosine, relative to the share of words
_PREFILTER_SENTENCES = 2_000  # characters of a question

_WORD = re.compile(r"\w+")
_STEM_LETTERS = 5  # crude, but the same for every alphabet: "asked" and "asking" meet at "ask.."


class NearestSentence:
    """Reranker that scores a chunk by its most similar sentence.

    Without an embedding model it scores by shared words.
    """

    depth = 30  # more find little more; 30 take 0.15 s (docs/retrieval.md)

    def scores(self, question: QueryContext, passages: Sequence[Sequence[str]]) -> list[float]:
        """Return the similarity of each chunk's most similar sentence to the question."""
        candidates = [
            [passage[index] for index in top_candidates(question, passage)] for passage in passages
        ]
        texts = [sentence for sentences in candidates for sentence in sentences]
        closeness = question.closeness(texts)  # adding the words here found less
        near = shared_word_scores(question, texts) if closeness is None else closeness
        ends = np.cumsum([len(sentences) for sentences in candidates])
        return [float(part.max()) for part in np.split(near, ends[:-1])]


def top_candidates(question: QueryContext, sentences: Sequence[str]) -> list[int]:
    """Return the positions, in order, of the sentences likely to be the most similar.

    There are at most ``MAX_CANDIDATES``; they are selected by shared words and a light model.
    """
    if len(sentences) <= MAX_CANDIDATES:
        return [*range(len(sentences))]
    query_vector, *vectors = _LIGHT.embed([question.text[:_PREFILTER_SENTENCES], *sentences])
    scores = shared_word_scores(question, sentences) + _PREFILTER_WEIGHT * (
        np.array(vectors) @ query_vector
    )
    return sorted(np.argsort(-scores, kind="stable")[:MAX_CANDIDATES].tolist())


def sentence_scores(question: QueryContext, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Return a score per sentence: its shared words plus its cosine to the question.

    The share of the question's words is between 0 and 1; without an embedding model it is the
    score.
    """
    shared, closeness = shared_word_scores(question, sentences), question.closeness(sentences)
    return shared if closeness is None else shared + closeness


def shared_word_scores(question: QueryContext, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Return the share of the question's words in each sentence, between 0 and 1."""
    return np.array([_shared(question.text, sentence) for sentence in sentences], np.float32)


def _shared(query: str, text: str) -> float:
    query_stems = _stems(query)
    return len(query_stems & _stems(text)) / len(query_stems) if query_stems else 0.0


def _stems(text: str) -> set[str]:
    return {word[:_STEM_LETTERS] for word in _WORD.findall(text.lower())}
