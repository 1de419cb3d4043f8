"""The offline answerer: the sentences of the recordings that answer best, quoted unchanged.

It uses no language model and invents nothing. A sentence is scored by the words of the question
that it contains, weighted by rarity, and by its cosine to the question. Both scores decide whether
any sentence is an answer, with thresholds that were measured (``benchmarks/answers.py``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np

from playhead.core.protocols.answerer import (
    AnswerRequest,
    AnswerSink,
    DraftCitation,
    DraftSentence,
    TimedSentence,
)
from playhead.core.records import Engine

_VERSION: Final = "2"  # increase it with every change to the selection

#: Minimum score of an answer: the weighted share of the question's words in it plus its cosine to
#: the question. Of 51 questions that 19 recordings do not answer, none exceeded 1.14; of 105 that
#: they do answer, 65 reached this score (``benchmarks/answers.py``, the half of its questions used
#: to choose it; measured before the weight of single-word questions was reduced).
MIN_SCORE: Final = 1.25
#: The embedder of these cosines: cosines of other embedders have another scale and are ignored.
CALIBRATED_EMBEDDERS: Final = "minilm"
#: Minimum score without cosines, by words alone; the same 51 questions did not exceed 0.61.
MIN_COVERAGE_ALONE: Final = 0.7

_MAX_SENTENCES: Final = 3
_NEARLY_AS_GOOD: Final = 0.9  # share of the best score that further sentences need
#: Factor on the share of words if the question has a single significant word, which proves less.
_ONE_WORD: Final = 0.7
_LONG_SECONDS: Final = 6.0  # a longer sentence is opened at its answering part
_BEFORE_SECONDS: Final = 3.0  # so is a sentence with more speech before that part
_WORDS_VOTE: Final = 0.5  # weight of a part's words, relative to its closeness
_LONG_CHARACTERS: Final = 240  # of a longer sentence only that part is quoted
_PART: Final = re.compile(r"(?<=[,;:–—、，；])\s*")
_MIN_WORDS: Final = 3  # per part


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of an excerpt with its share of the question's words and its cosine."""

    excerpt: int
    line: TimedSentence
    coverage: float
    closeness: float | None

    @property
    def score(self) -> float:
        return self.coverage + (self.closeness or 0.0)


class ExtractiveAnswerer:
    """The default ``Answerer``."""

    @property
    def engine(self) -> Engine:
        return Engine("extractive", _VERSION)

    def answer(self, request: AnswerRequest, sink: AnswerSink) -> str | None:
        """Answer as in ``Answerer``; never refuse, and always return None."""
        for candidate in _select(_candidates(request), request.embedder):
            part = _answering_part(candidate, request)
            text = candidate.line.text if len(candidate.line.text) <= _LONG_CHARACTERS else part
            sink.on_sentence(DraftSentence(text, (DraftCitation(candidate.excerpt, part),)))
        return None


def _candidates(request: AnswerRequest) -> list[_Candidate]:
    """Return every sentence of every excerpt once."""
    lines = {
        (excerpt.recording, line): number
        for number, excerpt in reversed([*enumerate(request.excerpts, 1)])
        for line in excerpt.lines
    }
    texts = [line.text for _, line in lines]
    near = request.similarity.closeness(texts) if texts else None
    shares = _coverage(request, [(lines[key], key[1].text) for key in lines])
    return [
        _Candidate(number, line, share, None if near is None else float(near[at]))
        for at, (((_, line), number), share) in enumerate(zip(lines.items(), shares, strict=True))
    ]


def _coverage(request: AnswerRequest, lines: Sequence[tuple[int, str]]) -> list[float]:
    """Return the weighted share of the question's words in each (excerpt number, text)."""
    question_terms: dict[str, AbstractSet[str]] = {}
    line_terms: list[AbstractSet[str]] = [frozenset()] * len(lines)
    rules = [request.excerpts[number - 1].stems for number, _ in lines]
    for stems in dict.fromkeys(rules):
        places = [index for index, rule in enumerate(rules) if rule == stems]
        texts = [request.question, *(lines[index][1] for index in places)]
        question_terms[stems], *found = request.similarity.terms(stems, texts)
        for index, terms in zip(places, found, strict=True):
            line_terms[index] = terms
    frequencies = Counter(term for terms in line_terms for term in terms)
    weights = {
        term: math.log(1 + len(lines) / (1 + frequencies[term]))
        for terms in question_terms.values()
        for term in terms
    }
    return [
        _share(question_terms[stems], terms, weights)
        for stems, terms in zip(rules, line_terms, strict=True)
    ]


def _share(
    question_terms: AbstractSet[str], line_terms: AbstractSet[str], weights: dict[str, float]
) -> float:
    total = math.fsum(weights[term] for term in question_terms)
    share = (
        math.fsum(weights[term] for term in question_terms & line_terms) / total if total else 0.0
    )
    return share if len(question_terms) > 1 else _ONE_WORD * share


def _select(candidates: Sequence[_Candidate], embedder: str) -> list[_Candidate]:
    """Return the sentences that answer the question, best first; may be empty."""
    answers = [candidate for candidate in candidates if _is_answer(candidate, embedder)]
    ranked = sorted(answers, key=lambda candidate: -candidate.score)[:_MAX_SENTENCES]
    return [
        candidate for candidate in ranked if candidate.score >= _NEARLY_AS_GOOD * ranked[0].score
    ]


def _is_answer(candidate: _Candidate, embedder: str) -> bool:
    if candidate.closeness is None or embedder != CALIBRATED_EMBEDDERS:
        return candidate.coverage >= MIN_COVERAGE_ALONE
    return candidate.score >= MIN_SCORE


def _answering_part(candidate: _Candidate, request: AnswerRequest) -> str:
    """Return the part between commas that answers, if the sentence is long or it is late.

    Otherwise return the whole sentence.
    """
    seconds = candidate.line.end_seconds - candidate.line.start_seconds
    if seconds <= _BEFORE_SECONDS:
        return candidate.line.text
    parts = _parts(candidate.line.text)
    near = request.similarity.closeness(parts)
    if near is None:
        return candidate.line.text
    shares = _coverage(request, [(candidate.excerpt, part) for part in parts])
    best = int(np.argmax(near + _WORDS_VOTE * np.array(shares)))
    before = (
        seconds * sum(map(len, parts[:best])) / sum(map(len, parts))
    )  # the speed of speech is nearly constant
    late = seconds > _LONG_SECONDS or before > _BEFORE_SECONDS
    return parts[best] if late else candidate.line.text


def _parts(text: str) -> list[str]:
    """Split a text at commas, into parts of at least three words."""
    parts: list[str] = []
    for piece in _PART.split(text):
        if parts and len(parts[-1].split()) < _MIN_WORDS:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
    if len(parts) > 1 and len(parts[-1].split()) < _MIN_WORDS:
        last = parts.pop()
        parts[-1] = f"{parts[-1]} {last}"
    return parts
