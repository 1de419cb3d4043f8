"""Answerers by themselves: a question and what was said, an audience, replies of a model."""

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
class Listening:
    """An ``Audience`` that keeps what it hears."""

    heard: list[DraftSentence] = field(default_factory=list)
    begun: int = 0

    def on_sentence(self, statement: DraftSentence) -> None:
        self.heard.append(statement)

    def start_over(self) -> None:
        self.begun += 1
        self.heard.clear()


class NoLikeness:
    """Words as they are, and no model."""

    def terms(self, stems: str, texts: Any) -> list[Any]:
        return [frozenset(text.lower().strip(".?!").split()) for text in texts]

    def closeness(self, texts: Any) -> np.ndarray[Any, Any] | None:
        return None


def request(question: str, *lines: str, stems: str = "english") -> AnswerRequest:
    said = tuple(TimedSentence(line, float(at), at + 1.0) for at, line in enumerate(lines))
    excerpt = Excerpt("c", "r", "A talk", ".flac", " ".join(lines), 0, "Ada", stems, said)
    return AnswerRequest(question, [excerpt], NoLikeness(), "unknown")


def reply(*sentences: tuple[str, list[tuple[Any, Any]]], found: Any = True) -> str:
    told = [
        {"text": text, "citations": [{"passage": p, "quote": q} for p, q in cited]}
        for text, cited in sentences
    ]
    return json.dumps({"found": found, "sentences": told}, ensure_ascii=False)


GOOD = reply(('It says: "dial }, {".', [(1, "dial six")]), ("Zwölf ä.", [(2, "b"), (1, "c")]))
FIRST = DraftSentence('It says: "dial }, {".', (DraftCitation(1, "dial six"),))
SECOND = DraftSentence("Zwölf ä.", (DraftCitation(2, "b"), DraftCitation(1, "c")))
