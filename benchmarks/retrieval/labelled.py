"""The labelled sets: texts told as talks, questions, and the seconds at which each is answered.

A set is ``sets/NAME.jsonl``, a line a section: its talk, the question it answers or null, its text.
Told, a section takes as long as its words do at 150 a minute, one after the other; these times are
made, all else is as people wrote it. Not here: where the texts come from (``sets/SOURCES.md``,
``harvest.py``), laying them into Playhead (``telling.py``).
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
    """``question`` is None where the text is there to be overlooked."""

    talk: str
    question: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """Asked is ``question``; the answer is told in ``talk`` between these seconds."""

    question: str
    talk: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Talk:
    """What one recording says, and what may be asked of it."""

    name: str
    transcript: Transcript
    labels: tuple[Label, ...]


def sections(name: str) -> list[Section]:
    """A set as it is kept."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Section(**json.loads(line)) for line in lines]


def talks(told: Sequence[Section]) -> Iterator[Talk]:
    """Neighbouring sections of one talk, as a recording of it would be heard."""
    for name, group in groupby(told, key=lambda section: section.talk):
        yield _talk(name, list(group))


def _talk(name: str, told: Sequence[Section]) -> Talk:
    words: list[Word] = []
    segments: list[Segment] = []
    labels: list[Label] = []
    for section in told:
        start = len(words) * SECONDS_A_WORD
        for word in section.text.split():
            at = len(words)
            words.append(Word(word, at * SECONDS_A_WORD, (at + 1) * SECONDS_A_WORD))
        end = len(words) * SECONDS_A_WORD
        segments.append(Segment(" ".join(section.text.split()), start, end))
        if section.question:
            labels.append(Label(section.question, name, start, end))
    text = " ".join(segment.text for segment in segments)
    heard = Transcript(text, "en", end, tuple(words), tuple(segments))
    return Talk(name, heard, tuple(labels))
