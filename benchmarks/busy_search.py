"""Concurrent searches while many recordings are ingested: waiting times and failures.

    python -m benchmarks.busy_search [--searchers 50] [--present 2000] [--arriving 1000] [--json]

PRESENT recordings are seeded, with MiniLM's vectors and the indexes that the schedule would build;
then ARRIVING recordings are added and processed by ``playhead process``, the stub transcriber and
MiniLM, while SEARCHERS search, each for a moment that exists, through the services of one process
like a server. Each pauses as a person does between two questions, ``--pause`` seconds on average.
Seconds are those from a question to its hits. ``lost``: answers without the requested recording
among the first ten. The words are made up, and twice as many tokens as English ones.
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
    """The searches of one period."""

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
    """Counts over all searchers."""

    failed: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)


class Searchers:
    """Threads that search until they are stopped."""

    def __init__(self, search: SearchService, ids: Sequence[str], count: int, pause: float) -> None:
        self._search = search
        self._ids = ids
        self._pause = pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._counts = SearchCounts()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(count)
        ]

    def __enter__(self) -> Searchers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def take_counts(self) -> SearchCounts:
        """Return the counts since the last call, and reset them."""
        with self._lock:
            counts, self._counts = self._counts, SearchCounts()
        return counts

    def _run(self, number: int) -> None:
        rng = random.Random(number)
        while not self._stop.wait(rng.expovariate(1 / self._pause)):
            self._search_once(rng.randrange(len(self._ids)))

    def _search_once(self, number: int) -> None:
        started_at = time.monotonic()
        try:
            hits = self._search(seeding.first_sentence(number)).hits
        except PlayheadError:
            hits = None
        seconds = time.monotonic() - started_at
        with self._lock:
            self._counts.seconds.append(seconds)
            self._counts.failed += hits is None
            self._counts.lost += hits is not None and all(
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
            started_at = time.monotonic()
            step()
            yield _row(
                meanwhile, time.monotonic() - started_at, searchers.take_counts(), count, home
            )


def _row(meanwhile: str, seconds: float, counts: SearchCounts, searchers: int, home: Home) -> Row:
    parts = statistics.quantiles(counts.seconds, n=100)
    return Row(
        meanwhile=meanwhile,
        searchers=searchers,
        seconds=round(seconds, 1),
        asked=len(counts.seconds),
        failed=counts.failed,
        lost=counts.lost,
        p50=round(parts[49], 3),
        p95=round(parts[94], 3),
        p99=round(parts[98], 3),
        slowest=round(max(counts.seconds), 3),
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
    """Run SEARCHERS while ARRIVING recordings are processed."""
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
