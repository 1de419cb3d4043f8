"""Requests to answerers, a sink that collects sentences, and replies of a language model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playhead.core.protocols.answerer import (
    AnswerRequest,
    DraftCitation,
    DraftSentence,
    Excerpt,
    TimedSentence,
)


@dataclass
class CollectingSink:
    """An ``AnswerSink`` that stores the sentences it gets."""

    sentences: list[DraftSentence] = field(default_factory=list)
    starts: int = 0

    def on_sentence(self, statement: DraftSentence) -> None:
        self.sentences.append(statement)

    def start_over(self) -> None:
        self.starts += 1
        self.sentences.clear()


class NoSimilarity:
    """A ``Similarity`` without an embedding model; stems are the words themselves."""

    def terms(self, stems: str, texts: Any) -> list[Any]:
        return [frozenset(text.lower().strip(".?!").split()) for text in texts]

    def closeness(self, texts: Any) -> np.ndarray[Any, Any] | None:
        return None


def make_request(question: str, *texts: str, stems: str = "english") -> AnswerRequest:
    sentences = tuple(TimedSentence(line, float(at), at + 1.0) for at, line in enumerate(texts))
    excerpt = Excerpt("c", "r", "A talk", ".flac", " ".join(texts), 0, "Ada", stems, sentences)
    return AnswerRequest(question, [excerpt], NoSimilarity(), "unknown")


def make_reply(*sentences: tuple[str, list[tuple[Any, Any]]], found: Any = True) -> str:
    statements = [
        {"text": text, "citations": [{"passage": p, "quote": q} for p, q in cited]}
        for text, cited in sentences
    ]
    return json.dumps({"found": found, "sentences": statements}, ensure_ascii=False)


GOOD = make_reply(('It says: "dial }, {".', [(1, "dial six")]), ("Zwölf ä.", [(2, "b"), (1, "c")]))
FIRST = DraftSentence('It says: "dial }, {".', (DraftCitation(1, "dial six"),))
SECOND = DraftSentence("Zwölf ä.", (DraftCitation(2, "b"), DraftCitation(1, "c")))
