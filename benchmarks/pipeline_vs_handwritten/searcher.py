"""A thread that searches continuously and checks each answer.

The question is the text of a stored chunk. An answer names the model it searched by and the texts
it found, nearest first; it is mixed unless these are in the order of that model. (The models of
``embedder.py`` have no similarity, so another model's order differs.)
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
def ask_continuously(
    ask: Ask, question: str, embedders: Mapping[str, Embedder]
) -> Iterator[Answers]:
    """Ask every ``EVERY_SECONDS`` while the body runs, and once after it."""
    answers = Answers()
    stop = threading.Event()

    def search_until_stopped() -> None:
        while not stop.wait(EVERY_SECONDS):
            ask_once(answers, ask, question, embedders)
        ask_once(answers, ask, question, embedders)

    thread = threading.Thread(target=search_until_stopped)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def ask_once(answers: Answers, ask: Ask, question: str, embedders: Mapping[str, Embedder]) -> None:
    answers.asked += 1
    start = time.monotonic()
    try:
        answer = ask(question, embedders)
    except Exception:  # any error means that there was no answer
        answers.failed += 1
        return
    answers.slowest = max(answers.slowest, time.monotonic() - start)
    answers.models.add(answer.model)
    if not answer.texts:
        answers.empty += 1
    elif not _is_consistent(question, answer, embedders[answer.model]):
        answers.mixed += 1


def _is_consistent(question: str, answer: Answer, embedder: Embedder) -> bool:
    query_vector, *vectors = embedder.embed([question, *answer.texts])
    similarity = np.array(vectors) @ query_vector
    return bool(np.all(np.diff(similarity) < _TOLERANCE))
