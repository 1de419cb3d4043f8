"""Somebody who asks all the time, and whether each answer is whole.

The question is the words of a stored chunk. An answer names the model it searched by and the
texts it found, nearest first; it is mixed unless these are, to that model, in that order. (The
models of ``embedder.py`` know no likeness, so another model's order differs.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.pipeline_vs_handwritten.contender import Answer
from playhead.core.protocols.embedder import Embedder

EVERY_SECONDS = 0.1
_TOLERANCE = 1e-5  # of a distance in single precision

Ask = Callable[[str, Mapping[str, Embedder]], Answer]


@dataclass(slots=True)
class Answers:
    """Counts so far; ``slowest`` in seconds."""

    asked: int = 0
    empty: int = 0
    failed: int = 0
    mixed: int = 0
    slowest: float = 0.0
    models: set[str] = field(default_factory=set)

    @property
    def bad(self) -> int:
        return self.empty + self.failed + self.mixed


@contextmanager
def asking(ask: Ask, question: str, embedders: Mapping[str, Embedder]) -> Iterator[Answers]:
    """Asks every ``EVERY_SECONDS`` while the body runs, and once after it."""
    answers = Answers()
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(EVERY_SECONDS):
            ask_once(answers, ask, question, embedders)
        ask_once(answers, ask, question, embedders)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def ask_once(answers: Answers, ask: Ask, question: str, embedders: Mapping[str, Embedder]) -> None:
    answers.asked += 1
    start = time.monotonic()
    try:
        answer = ask(question, embedders)
    except Exception:  # whatever it is, somebody got no answer
        answers.failed += 1
        return
    answers.slowest = max(answers.slowest, time.monotonic() - start)
    answers.models.add(answer.model)
    if not answer.texts:
        answers.empty += 1
    elif not _whole(question, answer, embedders[answer.model]):
        answers.mixed += 1


def _whole(question: str, answer: Answer, embedder: Embedder) -> bool:
    asked, *found = embedder.embed([question, *answer.texts])
    similarity = np.array(found) @ asked
    return bool(np.all(np.diff(similarity) < _TOLERANCE))
