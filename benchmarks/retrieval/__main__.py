"""Quality of Playhead's search on labelled questions, by leg and combined.

    python -m benchmarks.retrieval [--speech FOLDER] [--model whisper-base] [--plot FILE] [--json]

463 questions that people asked about Perl and Python and that others answered, among 1,288 sections
turned into talks (``labelled.py``), and with ``--speech`` 54 questions about real recordings,
transcribed by the local engine. Each goes through Playhead's complete search. "held out" are the
questions of both sets that were not used to choose any constant of the search: the half whose
sha-256 is odd.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import click

from benchmarks.charts import chart
from benchmarks.environments import Home, json_option, print_rows, temporary_home
from benchmarks.retrieval.figures import (
    MAX_DEPTH,
    citations,
    duel,
    latency,
    quality,
    recall,
)
from benchmarks.retrieval.labelled import SETS, Talk, sections, talks
from benchmarks.retrieval.report import add_talks
from benchmarks.retrieval.spoken import transcribe_talks
from benchmarks.retrieval.ways import AnswersByWay, open_searches, search_every_way, with_cache
from playhead.core.packaged_models import WHISPER_MODELS
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url

_DUELS = (("fused", "words"), ("fused", "meaning"), ("reranked", "fused"))
_TIMED = 100  # questions, each by every way, without a cache


@click.command()
@click.option("--speech", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Choice(WHISPER_MODELS), default="whisper-base")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write an SVG here.")
@json_option
def main(speech: Path | None, model: str, plot: Path | None, as_json: bool) -> None:
    """Measure full text, vectors, both fused, and reranked."""
    talks_by_set = {name: list(talks(sections(name))) for name in SETS}
    if speech:
        talks_by_set["speech"] = list(transcribe_talks(speech, model))
    with temporary_home(embedder="minilm") as home:
        answers, timed_answers = measure(home, talks_by_set)
    answers["held out"] = held_out(answers)
    tables = (
        [
            quality(set_name, way, questions)
            for set_name, ways in answers.items()
            for way, questions in ways.items()
        ],
        [duel("all", combine(answers, talks_by_set), *ways) for ways in _DUELS],
        [latency(*way_answers) for way_answers in timed_answers.items()],
        [citations("speech", *way_answers) for way_answers in answers.get("speech", {}).items()],
    )
    for table in tables:
        print_rows(table, as_json=as_json)
    if plot:
        plot.write_text(draw_recall(answers), encoding="utf-8")


def measure(
    home: Home, talks_by_set: dict[str, list[Talk]]
) -> tuple[dict[str, AnswersByWay], AnswersByWay]:
    """Search all questions by every way, and some of them again to be timed.

    All talks are in one organisation.
    """
    names = {
        recording: name
        for set_talks in talks_by_set.values()
        for name, recording in add_talks(home.services, set_talks).items()
    }
    labels = {
        name: [label for talk in set_talks for label in talk.labels]
        for name, set_talks in talks_by_set.items()
    }
    with closing(Database(app_url(home.settings))) as database:
        embedders = home.services.engines.embedders
        cached_searches = open_searches(home.services, database, with_cache(embedders))
        uncached_searches = open_searches(home.services, database, embedders)
        answers = {
            name: search_every_way(cached_searches, set_talks, names)
            for name, set_talks in labels.items()
        }
        questions = [label for set_talks in labels.values() for label in set_talks]
        timed_answers = search_every_way(
            uncached_searches, questions[:: len(questions) // _TIMED], names
        )
    return answers, timed_answers


def combine(answers: dict[str, AnswersByWay], names: Iterable[str]) -> AnswersByWay:
    """Return the questions of these sets together."""
    set_answers = [answers[name] for name in names]
    return {
        way: [answer for answers in set_answers for answer in answers[way]]
        for way in set_answers[0]
    }


def held_out(answers: dict[str, AnswersByWay]) -> AnswersByWay:
    """Return the half of the text sets that was not used to choose anything."""
    return {
        way: [
            answer
            for answer in answered
            if int(sha256(answer.label.question.encode()).hexdigest(), 16) % 2
        ]
        for way, answered in combine(answers, SETS).items()
    }


def draw_recall(answers: dict[str, AnswersByWay]) -> str:
    """Draw recall by the number of hits, one panel per set."""
    return chart(
        "hits looked at",
        {
            f"Share of questions answered: {name}": {
                way: [(depth, recall(answered, depth)) for depth in (1, 2, 3, 5, MAX_DEPTH)]
                for way, answered in by_way.items()
            }
            for name, by_way in answers.items()
        },
    )


if __name__ == "__main__":
    main()
