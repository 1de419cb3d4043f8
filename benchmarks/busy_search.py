"""Searches by many at once while many recordings come in: how long they wait, and what fails.

    python -m benchmarks.busy_search [--searchers 50] [--present 2000] [--arriving 1000] [--json]

Recordings are PRESENT (seeded, with MiniLM's vectors, indexed as the clock would have it); then as
many as ARRIVING are added and made by ``playhead process``, the stub transcriber and MiniLM,
while SEARCHERS ask, each for a moment that is there, through the services of one process as a server's
would. Each pauses as a person does between two questions, for ``--pause`` seconds in the mean.
Seconds are those from a question to its hits. ``lost``: answers without the recording that was
asked for among the first ten. The words are made up, and twice as many tokens as English ones.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import seeding
from benchmarks.environments import Home, json_option, print_rows, temporary_home
from benchmarks.throughput import tiny_recordings
from playhead.core.errors import PlayheadError
from playhead.engines.registry import build_embedders
from playhead.search.service import SearchService
from playhead.services.context import open_services

_SENTENCES = 10
_ALONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """What was asked in one stretch of time."""

    meanwhile: str
    searchers: int
    seconds: float
    asked: int
    failed: int
    lost: int
    p50: float
    p95: float
    p99: float
    slowest: float
    ready: int
    load_average: float


@dataclass
class SearchCounts:
    """Of all searchers together."""

    failed: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)


class Searchers:
    """Ask until they are told to end."""

    def __init__(self, search: SearchService, ids: Sequence[str], count: int, pause: float) -> None:
        self._search = search
        self._ids = ids
        self._pause = pause
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._asked = SearchCounts()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(number,)) for number in range(count)
        ]

    def __enter__(self) -> Searchers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def take_counts(self) -> SearchCounts:
        """What was asked since the last time."""
        with self._lock:
            asked, self._asked = self._asked, SearchCounts()
        return asked

    def _ask_on(self, number: int) -> None:
        dice = random.Random(number)
        while not self._ended.wait(dice.expovariate(1 / self._pause)):
            self._ask(dice.randrange(len(self._ids)))

    def _ask(self, number: int) -> None:
        begun = time.monotonic()
        try:
            hits = self._search(seeding.sentence_of(number)).hits
        except PlayheadError:
            hits = None
        seconds = time.monotonic() - begun
        with self._lock:
            self._asked.seconds.append(seconds)
            self._asked.failed += hits is None
            self._asked.lost += hits is not None and all(
                hit.recording != self._ids[number] for hit in hits
            )


def measure(home: Home, searchers: Searchers, count: int, arriving: int) -> Iterator[Row]:
    folder = Path(tempfile.mkdtemp(dir=home.settings.home.parent))
    files = tiny_recordings(folder, arriving)

    def ingest() -> None:
        home.run("playhead", "add", *map(str, files))
        home.run("playhead", "process")

    steps: dict[str, Callable[[], None]] = {
        "nothing": lambda: time.sleep(_ALONE_SECONDS),
        f"{arriving} recordings come in": ingest,
    }
    with searchers:
        for meanwhile, step in steps.items():
            searchers.take_counts()
            begun = time.monotonic()
            step()
            yield _row(meanwhile, time.monotonic() - begun, searchers.take_counts(), count, home)


def _row(meanwhile: str, seconds: float, asked: SearchCounts, searchers: int, home: Home) -> Row:
    parts = statistics.quantiles(asked.seconds, n=100)
    return Row(
        meanwhile=meanwhile,
        searchers=searchers,
        seconds=round(seconds, 1),
        asked=len(asked.seconds),
        failed=asked.failed,
        lost=asked.lost,
        p50=round(parts[49], 3),
        p95=round(parts[94], 3),
        p99=round(parts[98], 3),
        slowest=round(max(asked.seconds), 3),
        ready=home.services.pipeline.recordings.ready(),
        load_average=round(os.getloadavg()[0], 1),
    )


@click.command()
@click.option("--searchers", "count", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--pause", type=click.FloatRange(min=0.01), default=5.0, show_default=True)
@click.option("--present", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--arriving", type=click.IntRange(min=1), default=1000, show_default=True)
@json_option
def main(count: int, pause: float, present: int, arriving: int, as_json: bool) -> None:
    """SEARCHERS ask while ARRIVING recordings are made."""
    with temporary_home(transcriber="stub", embedder="minilm") as home:
        ids = seeding.seed(home.services, home.instance, present, _SENTENCES)
        home.services.search.vector_indexes.maintain()
        with open_services(home.settings) as services:
            embedders = build_embedders(home.settings)
            search = SearchService(
                services.search.chunks,
                services.search.embedding_sets,
                embedders,
                services.files.media,
                home.settings.org,
            )
            searchers = Searchers(search, ids, count, pause)
            print_rows(measure(home, searchers, count, arriving), as_json=as_json)


if __name__ == "__main__":
    main()
