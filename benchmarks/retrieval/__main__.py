"""How well Playhead finds, by leg and together, on labelled questions.

    python -m benchmarks.retrieval [--speech FOLDER] [--model whisper-base] [--plot FILE] [--json]

463 questions that people asked of Perl and Python and that others answered, among 1,288 sections
told as talks (``labelled.py``), and with ``--speech`` 54 questions about real recordings, heard by
the local engine. Each goes through the whole of Playhead's search. "held out" are the questions of
both sets that no constant of the search was chosen by: the half whose sha-256 is odd.
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
    DEEPEST,
    citations,
    duel,
    latency,
    quality,
    recall,
)
from benchmarks.retrieval.labelled import SETS, Talk, sections, talks
from benchmarks.retrieval.report import lay_in
from benchmarks.retrieval.spoken import heard
from benchmarks.retrieval.ways import Asked, by_way, remembering, ways
from playhead.core.packaged_models import WHISPER_MODELS
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url

_DUELS = (("fused", "words"), ("fused", "meaning"), ("reranked", "fused"))
_TIMED = 100  # questions, each by every way, with nothing remembered


@click.command()
@click.option("--speech", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Choice(WHISPER_MODELS), default="whisper-base")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write an SVG here.")
@json_option
def main(speech: Path | None, model: str, plot: Path | None, as_json: bool) -> None:
    """Measure full text, vectors, both fused, and reranked."""
    told = {name: list(talks(sections(name))) for name in SETS}
    if speech:
        told["speech"] = list(heard(speech, model))
    with temporary_home(embedder="minilm") as home:
        asked, timed = measure(home, told)
    asked["held out"] = held_out(asked)
    tables = (
        [quality(of, way, some) for of, ways in asked.items() for way, some in ways.items()],
        [duel("all", all_of(asked, told), *ways) for ways in _DUELS],
        [latency(*of_way) for of_way in timed.items()],
        [citations("speech", *of_way) for of_way in asked.get("speech", {}).items()],
    )
    for table in tables:
        print_rows(table, as_json=as_json)
    if plot:
        plot.write_text(drawn(asked), encoding="utf-8")


def measure(home: Home, told: dict[str, list[Talk]]) -> tuple[dict[str, Asked], Asked]:
    """All talks in one organisation, then every set's questions by every way; and some again, to
    be timed."""
    names = {
        recording: name
        for of_set in told.values()
        for name, recording in lay_in(home.services, of_set).items()
    }
    labels = {
        name: [label for talk in of_set for label in talk.labels] for name, of_set in told.items()
    }
    with closing(Database(app_url(home.settings))) as database:
        embedders = home.services.engines.embedders
        quick = ways(home.services, database, remembering(embedders))
        plain = ways(home.services, database, embedders)
        asked = {name: by_way(quick, of_set, names) for name, of_set in labels.items()}
        some = [label for of_set in labels.values() for label in of_set]
        timed = by_way(plain, some[:: len(some) // _TIMED], names)
    return asked, timed


def all_of(asked: dict[str, Asked], names: Iterable[str]) -> Asked:
    """The questions of these sets together."""
    of_sets = [asked[name] for name in names]
    return {way: [answer for asked in of_sets for answer in asked[way]] for way in of_sets[0]}


def held_out(asked: dict[str, Asked]) -> Asked:
    """The half of the told sets by which nothing was chosen."""
    return {
        way: [
            answer
            for answer in answered
            if int(sha256(answer.label.question.encode()).hexdigest(), 16) % 2
        ]
        for way, answered in all_of(asked, SETS).items()
    }


def drawn(asked: dict[str, Asked]) -> str:
    """Recall by the number of hits that are looked at, a panel a set."""
    return chart(
        "hits looked at",
        {
            f"Share of questions answered: {name}": {
                way: [(depth, recall(answered, depth)) for depth in (1, 2, 3, 5, DEEPEST)]
                for way, answered in by_way.items()
            }
            for name, by_way in asked.items()
        },
    )


if __name__ == "__main__":
    main()
