"""The labelled sets: texts turned into talks, questions, and the seconds of each answer.

A set is ``sets/NAME.jsonl``, with one line per section: its talk, the question it answers or null,
and its text. As a talk, a section lasts as long as its words at 150 per minute, one section after
the other; these times are synthetic, the rest is as people wrote it. ``sets/SOURCES.md`` and
``harvest.py`` say where the texts come from; ``report.py`` adds them to Playhead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from playhead.core.records import Segment, Transcript, Word

SETS = ("perl", "python")
SECONDS_A_WORD = 60 / 150

FOLDER = Path(__file__).parent / "sets"


@dataclass(frozen=True, slots=True)
class Section:
    """A section; ``question`` is None for text that answers no question."""

    talk: str
    question: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A question; its answer is in ``talk`` between these seconds."""

    question: str
    talk: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Talk:
    """One recording's transcript and the questions about it."""

    name: str
    transcript: Transcript
    labels: tuple[Label, ...]


def sections(name: str) -> list[Section]:
    """Return the stored sections of a set."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Section(**json.loads(line)) for line in lines]


def talks(sections_: Sequence[Section]) -> Iterator[Talk]:
    """Yield the consecutive sections of each talk as a transcript."""
    for name, group in groupby(sections_, key=lambda section: section.talk):
        yield _talk(name, list(group))


def _talk(name: str, sections_: Sequence[Section]) -> Talk:
    words: list[Word] = []
    segments: list[Segment] = []
    labels: list[Label] = []
    for section in sections_:
        start = len(words) * SECONDS_A_WORD
        for word in section.text.split():
            at = len(words)
            words.append(Word(word, at * SECONDS_A_WORD, (at + 1) * SECONDS_A_WORD))
        end = len(words) * SECONDS_A_WORD
        segments.append(Segment(" ".join(section.text.split()), start, end))
        if section.question:
            labels.append(Label(section.question, name, start, end))
    text = " ".join(segment.text for segment in segments)
    transcript = Transcript(text, "en", end, tuple(words), tuple(segments))
    return Talk(name, transcript, tuple(labels))
