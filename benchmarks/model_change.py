"""A complete change of the embedding model under search: build, switch, back, switch, retire.

    python -m benchmarks.model_change [--recordings 4600] [--sentences 19] [--json]

Ready recordings are seeded in the set of the ``stub`` embedder (about 22 chunks each); then a set
with ``wordllama`` is built through the plan's runs, evaluated, activated, rolled back, activated
again, and the first set is retired. Meanwhile a thread searches every 100 ms for a sentence of a
known recording, in which every recording has a unique word. An answer is *failed* (an error),
*empty*, *wrong* (the recording is not among the hits) or *mixed* (a hit is not a chunk of the one
set that was searched). Calls are counted at the embedder; ``min_calls`` is one per 64 different
texts.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import click

from benchmarks import seeding
from benchmarks.environments import Home, json_option, print_rows, temporary_home
from pipeline_assets.definitions import build_definitions
from pipeline_assets.worker.in_process_runner import InProcessRunner
from playhead.core.errors import PlayheadError
from playhead.core.protocols.embedder import TEXTS_PER_CALL, Vectors
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.embedding.wordllama import WordLlama
from playhead.engines.registry import EmbedderRegistry, build_embedders
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.search.service import SearchResult, SearchService
from playhead.services.context import PipelineServices, open_services
from playhead.services.model_switch import ModelSwitch

_INTERVAL_SECONDS = 0.1
_HITS = 50  # as many as each leg gives

#: Chunks that have no vector in the set.
_MISSING_CHUNKS = b"""
select chunk from unnest(%(chunks)s::uuid[]) as chunk
where not exists (
    select from embeddings e where e.set_id = %(set_id)s and e.chunk_id = chunk)"""


class CountingEmbedder(WordLlama):
    """Counts the calls of the build; queries use another embedder."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        self.texts += texts
        return super().embed(texts)


@dataclass
class SearchCounts:
    """The results of the search thread."""

    asked: int = 0
    failed: int = 0
    empty: int = 0
    wrong: int = 0
    mixed: int = 0
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """A step of the change, and the searches during it. Latency in seconds."""

    step: str
    seconds: float
    asked: int
    failed: int
    empty: int
    wrong: int
    mixed: int
    median: float
    slowest: float
    calls: int
    min_calls: int
    texts: int
    load_average: float


class SearchThread(threading.Thread):
    """Searches through services of its own, like another process."""

    def __init__(self, home: Home, ids: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._home = home
        self._ids = ids
        self._stop = threading.Event()
        self._rng = random.Random(1)
        self._lock = threading.Lock()
        self._answers = SearchCounts()

    def run(self) -> None:
        settings = self._home.settings
        with open_services(settings) as services, closing(Database(app_url(settings))) as database:
            embedders = build_embedders(settings)
            search = SearchService(
                services.search.chunks,
                services.search.embedding_sets,
                embedders,
                services.files.media,
                settings.org,
            )
            self._database = database
            while not self._stop.is_set():
                started_at = time.monotonic()
                self._search_once(search)
                self._stop.wait(max(0.0, _INTERVAL_SECONDS - (time.monotonic() - started_at)))

    def take_counts(self) -> SearchCounts:
        """Return the counts since the last call, and reset them."""
        with self._lock:
            answers, self._answers = self._answers, SearchCounts()
        return answers

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def _search_once(self, search: SearchService) -> None:
        number = self._rng.randrange(len(self._ids))
        started_at = time.monotonic()
        try:
            found = search(seeding.first_sentence(number), limit=_HITS)
        except PlayheadError:
            found = None
        seconds = time.monotonic() - started_at
        mixed = bool(found and found.searched and self._mixed(search, found))
        with self._lock:
            self._answers.asked += 1
            self._answers.seconds.append(seconds)
            self._answers.failed += found is None
            self._answers.empty += found is not None and not found.hits
            expected = self._ids[number]
            self._answers.wrong += bool(found and found.hits) and all(
                hit.recording != expected for hit in (found.hits if found else [])
            )
            self._answers.mixed += mixed

    def _mixed(self, search: SearchService, found: SearchResult) -> bool:
        """Return True if a hit is not in the searched set; retired sets are not checked."""
        assert found.searched is not None
        chunks = [hit.chunk for hit in found.hits]
        missing = self._database.rows(_MISSING_CHUNKS, chunks=chunks, set_id=found.searched.id)
        return bool(missing) and search.sets.get(found.searched.id).state != "retired"


def run_steps(home: Home, recordings: int, sentences: int) -> Iterator[Row]:
    ids = seeding.seed(home.services, home.instance, recordings, sentences)
    embedder = CountingEmbedder()
    embedders = EmbedderRegistry("stub", {"stub": StubEmbedder, "wordllama": lambda: embedder})
    services = replace(home.services, engines=replace(home.services.engines, embedders=embedders))
    sets = ModelSwitch(services, embedders)
    first = services.search.embedding_sets.live()[0]
    second = sets.add("wordllama", author="benchmark", confirmed_usd=None)
    search_thread = SearchThread(home, ids)
    search_thread.start()
    steps: dict[str, Callable[[], object]] = {
        "search alone": lambda: time.sleep(5),
        "build": lambda: _build(home, services),
        "index and gate": lambda: sets.evaluate(second),
        "switch": lambda: services.search.embedding_sets.activate(second),
        "search the new set": lambda: time.sleep(5),
        "rollback": sets.rollback,
        "search the old set": lambda: time.sleep(5),
        "switch again": lambda: services.search.embedding_sets.activate(second),
        "retire": lambda: sets.retire(first),
        "search after": lambda: time.sleep(5),
    }
    for step, action in steps.items():
        yield _measure(step, action, search_thread, embedder)
    search_thread.stop()


def _build(home: Home, services: PipelineServices) -> None:
    definitions = build_definitions(services.settings, services=services)
    InProcessRunner(services, home.instance, definitions).run_until_done(None)


def _measure(
    step: str, action: Callable[[], object], search_thread: SearchThread, embedder: CountingEmbedder
) -> Row:
    search_thread.take_counts()
    calls, texts, started_at = embedder.calls, len(embedder.texts), time.monotonic()
    action()
    seconds = time.monotonic() - started_at
    time.sleep(2 * _INTERVAL_SECONDS)  # until searches that started during the step have ended
    answers, embedded = search_thread.take_counts(), len(embedder.texts) - texts
    return Row(
        step=step,
        seconds=round(seconds, 3),
        asked=answers.asked,
        failed=answers.failed,
        empty=answers.empty,
        wrong=answers.wrong,
        mixed=answers.mixed,
        median=round(statistics.median(answers.seconds or [0.0]), 3),
        slowest=round(max(answers.seconds or [0.0]), 3),
        calls=embedder.calls - calls,
        min_calls=-(-len(set(embedder.texts[texts:])) // TEXTS_PER_CALL),
        texts=embedded,
        load_average=round(os.getloadavg()[0], 1),
    )


@click.command()
@click.option("--recordings", type=click.IntRange(min=2), default=4600, show_default=True)
@click.option("--sentences", type=click.IntRange(min=1), default=19, show_default=True)
@json_option
def main(recordings: int, sentences: int, as_json: bool) -> None:
    """Build, switch, back, switch and retire while a thread searches."""
    with temporary_home(transcriber="stub", embedder="stub", chunking=seeding.CHUNKING) as home:
        print_rows(run_steps(home, recordings, sentences), as_json=as_json)


if __name__ == "__main__":
    main()
