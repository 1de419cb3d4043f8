"""Playhead beside a hand-written pipeline, with one embedder that takes no time.

    python -m benchmarks.pipeline_vs_handwritten [--count 1000] [--json]

COUNT synthetic transcripts of 6,000 words in chunks of 500/50 (``transcripts.py``) go through two
hand-written pipelines ("floors", see ``floor.py``) and through Playhead (``ours.py``), one after
the other, each in databases of its own on one embedded server:

- ``cold``: everything, without and with the time for the HNSW index
- ``nothing changed`` and ``one word changed in 1 %``: the same again
- ``new model``: a second set is built beside, indexed and switched to, while a thread searches
  every 0.1 s and checks each answer
- ``killed between two writes``: at most 150 transcripts, kill -9 between the texts and the vectors
  of some chunks; the seconds are those of the next run

``texts`` were embedded. ``wrong``: answers that were mixed, empty or failed; after the kill, rows
too many, missing or with another text's vector. ``cpu_seconds`` are those of this process and
Postgres together. ``of_the_floor``: seconds divided by those of the floor that does the same job.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import click

from benchmarks.environments import Home, json_option, measure_cost, print_rows, temporary_home
from benchmarks.pipeline_vs_handwritten.floor import BareFloor, SameJobFloor
from benchmarks.pipeline_vs_handwritten.ours import PlayheadContender
from benchmarks.pipeline_vs_handwritten.trial import Environment, Open, Row, Trial
from playhead.postgres.database_urls import create_database, embedded_server


def rows(count: int) -> Iterator[Row]:
    floor: dict[str, float] = {}
    with temporary_home(transcriber="stub", embedder="stub") as home:
        open_playhead = partial(PlayheadContender, home=home.settings.home / "ours")
        contenders: dict[str, Open] = {
            "bare": BareFloor,
            "same_job": SameJobFloor,
            "ours": open_playhead,
        }
        for name, open_at in contenders.items():
            environment = Environment(partial(_database, home, name), partial(_cpu_seconds, home))
            for row in Trial(open_at, environment, count).rows():
                if open_at is SameJobFloor:
                    floor[row.step] = row.seconds
                ratio = round(row.seconds / floor[row.step], 1) if floor else None
                yield replace(row, of_the_floor=ratio)


def _database(home: Home, contender: str, name: str) -> str:
    server = embedded_server(home.settings)
    create_database(server.url("postgres"), f"{contender}_{name}")
    return server.url(f"{contender}_{name}")


def _cpu_seconds(home: Home) -> float:
    """Return the CPU seconds of this process and of Postgres, all connections."""
    return time.process_time() + measure_cost(home).postgres


@click.command()
@click.option("--count", type=click.IntRange(min=100), default=1000, show_default=True)
@json_option
def main(count: int, as_json: bool) -> None:
    """Run two floors and Playhead over COUNT transcripts."""
    print_rows(rows(count), as_json=as_json)


if __name__ == "__main__":
    main()
