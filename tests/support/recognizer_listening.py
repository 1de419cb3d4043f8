"""Answerers by themselves: a question and what was said, an audience, replies of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playhead.core.protocols.answerer import AnswerRequest, Cited, Excerpt, Line, Statement


@dataclass
class Listening:
    """An ``Audience`` that keeps what it hears."""

    heard: list[Statement] = field(default_factory=list)
    begun: int = 0

    def hear(self, statement: Statement) -> None:
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


def inquiry(question: str, *lines: str, stems: str = "english") -> AnswerRequest:
    said = tuple(Line(line, float(at), at + 1.0) for at, line in enumerate(lines))
    excerpt = Excerpt("c", "r", "A talk", ".flac", " ".join(lines), 0, "Ada", stems, said)
    return AnswerRequest(question, [excerpt], NoLikeness(), "unknown")


def reply(*sentences: tuple[str, list[tuple[Any, Any]]], found: Any = True) -> str:
    told = [
        {"text": text, "citations": [{"passage": p, "quote": q} for p, q in cited]}
        for text, cited in sentences
    ]
    return json.dumps({"found": found, "sentences": told}, ensure_ascii=False)


GOOD = reply(('It says: "dial }, {".', [(1, "dial six")]), ("Zwölf ä.", [(2, "b"), (1, "c")]))
FIRST = Statement('It says: "dial }, {".', (Cited(1, "dial six"),))
SECOND = Statement("Zwölf ä.", (Cited(2, "b"), Cited(1, "c")))
