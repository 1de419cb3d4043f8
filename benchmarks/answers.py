"""Measure whether answers are in the recordings, open where they were said, and are not made up.

    python -m benchmarks.answers --speech FOLDER [--transcriber whisper-base] [--misses] [--json]

FOLDER holds recordings and a ``MANIFEST.tsv`` with a column ``file``. They go through the whole
pipeline, with the local transcriber and MiniLM; then every question of ``answers.tsv`` is put to
the extractive answerer. The questions were written by hand from the reference texts of the
recordings, in other words where there are any; beside each are the recording and the words from
which on it is answered. A hundred are about the same topics and not answered there.

Half of them, by the words that answer, were used to choose the constants of
``playhead/engines/answering/extractive.py`` ("chosen by"); the others were not ("held out").

``opens_right``: the first citation begins within two seconds of the words, of those answered.
``valid``: citations whose quote is word for word in the transcript at exactly their second, which
is checked here without the code that creates citations.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal

import click

from benchmarks.environments import Home, json_option, print_rows, temporary_home
from playhead.answers.citation_check import Citation
from playhead.answers.service import Answer, AnswerService
from playhead.core.records import text_hash
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.search.service import open_search
from playhead.services.context import Services

_QUESTIONS = Path(__file__).with_suffix(".tsv")
_WITHIN_SECONDS = 2.0
_MIN_SIMILARITY = 0.5  # between the reference's words and the recognized ones
_SAME_SECOND = 0.05
_NUMBERS = "zero one two three four five six seven eight nine".split()
_DIGITS = {str(number): word for number, word in enumerate(_NUMBERS)}

Split = Literal["chosen by", "held out"]
#: Words, each with the second at which it begins.
TimedWords = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """A question; ``recording`` and ``words`` are empty where no recording answers."""

    text: str
    recording: str
    words: str

    @property
    def split(self) -> Split:
        return "held out" if int(text_hash(self.words or self.text)[:2], 16) % 2 else "chosen by"


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question and its answer.

    ``distance``: seconds from the words to where the first citation opens; None if it opens another
    recording or there is none.
    """

    question: Question
    answer: Answer
    distance: float | None
    valid: int

    @property
    def is_right(self) -> bool:
        return self.distance is not None and self.distance <= _WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Row:
    split: Split | Literal["all"]
    questions: str
    asked: int
    answered: int
    not_there: int
    opens_right: int
    right_percent: float | None
    citations: int
    valid: int


def load_questions() -> list[Question]:
    with _QUESTIONS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Question(row["question"], row["recording"], row["words"]) for row in rows]


def ingest(home: Home, folder: Path) -> None:
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t")]
    for name in names:
        home.services.ingest.add(folder / name, org_id="default", title=Path(name).stem)
    home.run("playhead", "process")


def answer_questions(
    services: Services, questions: Sequence[Question]
) -> Iterator[AnsweredQuestion]:
    """Answer each question by itself."""
    answers = AnswerService(services, open_search(services, "default"), ExtractiveAnswerer())
    timed_words = dict(_timed_words(services))
    for question in questions:
        answer = answers(question.text)
        valid = sum(_is_valid(case, timed_words[str(case.title)]) for case in answer.citations)
        yield AnsweredQuestion(question, answer, _distance(question, answer, timed_words), valid)


def make_rows(answered: Sequence[AnsweredQuestion]) -> Iterator[Row]:
    splits: tuple[Split | Literal["all"], ...] = ("chosen by", "held out", "all")
    for split in splits:
        for name, there in (("in the recordings", True), ("not there", False)):
            cases = [
                case
                for case in answered
                if bool(case.question.recording) == there and split in ("all", case.question.split)
            ]
            yield _row(split, name, cases)


def _row(split: Split | Literal["all"], name: str, cases: Sequence[AnsweredQuestion]) -> Row:
    answered = [case for case in cases if case.answer.found]
    right = sum(case.is_right for case in answered)
    return Row(
        split=split,
        questions=name,
        asked=len(cases),
        answered=len(answered),
        not_there=len(cases) - len(answered),
        opens_right=right,
        right_percent=round(100 * right / len(answered), 1) if answered else None,
        citations=sum(len(case.answer.citations) for case in cases),
        valid=sum(case.valid for case in cases),
    )


def _timed_words(services: Services) -> Iterator[tuple[str, TimedWords]]:
    """Yield, by title, every word of a transcript at its second."""
    for status in services.pipeline.recordings.statuses("default"):
        transcript = services.pipeline.versions.current(
            services.pipeline.recordings.get("default", status.id)
        )
        yield (
            status.title,
            [(part, word.start) for word in transcript.words for part in _words(word.word)],
        )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _is_valid(citation: Citation, timed_words: TimedWords) -> bool:
    words, link = _words(citation.quote or ""), str(citation.link)
    return any(
        [word for word, _ in timed_words[at : at + len(words)]] == words
        and abs(second - float(link.rpartition("#t=")[2])) <= _SAME_SECOND
        for at, (_, second) in enumerate(timed_words)
    )


def _distance(
    question: Question, answer: Answer, timed_words: dict[str, TimedWords]
) -> float | None:
    if not question.recording or not answer.citations:
        return None
    first = answer.citations[0]
    if first.title != question.recording or first.start_seconds is None:
        return None
    return abs(first.start_seconds - _find_second(question.words, timed_words[question.recording]))


def _find_second(words: str, timed_words: TimedWords) -> float:
    """Return the second at which the reference's words begin in a slightly different transcript."""
    questions = [_DIGITS.get(word, word) for word in _words(words)]
    there = [_DIGITS.get(word, word) for word, _ in timed_words]
    similarity = [
        SequenceMatcher(None, questions, there[at : at + len(questions)], autojunk=False).ratio()
        for at in range(len(there))
    ]
    best = max(range(len(there)), key=lambda at: similarity[at])
    if similarity[best] < _MIN_SIMILARITY:
        raise click.ClickException(f"Not in the transcript: {words}")
    return timed_words[best][1]


@click.command()
@click.option(
    "--speech",
    required=True,
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
)
@click.option("--transcriber", default="whisper-base", show_default=True)
@click.option("--misses", is_flag=True, help="Print wrong and missing answers.")
@json_option
def main(speech: Path, transcriber: str, misses: bool, as_json: bool) -> None:
    """Ask questions about the recordings of SPEECH, answered there or not."""
    with temporary_home(transcriber=transcriber, embedder="minilm") as home:
        ingest(home, speech)
        answered = list(answer_questions(home.services, load_questions()))
    print_rows(make_rows(answered), as_json=as_json)
    for case in answered if misses else ():
        if case.answer.found != bool(case.question.recording) or (
            case.answer.found and not case.is_right
        ):
            words = " / ".join(str(sentence.text) for sentence in case.answer.sentences)
            click.echo(f"{case.question.text}\n    {case.distance} {words or 'not there'}")


if __name__ == "__main__":
    main()
