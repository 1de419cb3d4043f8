"""Workers who ask without end, what comes of it, and what kills them and their sessions. Not here:
what they ask (``visitor.py``, ``face.py``).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from multiprocessing.process import BaseProcess

import psycopg

from benchmarks.isolation.attacker import Attacker
from benchmarks.isolation.tenants import Tenant, names_other_tenant
from benchmarks.isolation.ways import Way
from playhead.core.errors import PlayheadError
from playhead.core.settings import load_settings
from playhead.postgres.database import Database
from playhead.services.context import open_services

_CHUNKS_SHARE = 0.3  # of all that is asked: there most of the rows are
_KILL_SECONDS = 1.0  # from one session to the next
_WORKER_KILL_SHARE = 0.2  # of those times


class Tally:
    """What came of it, in memory that outlives a killed worker: a line of counts each."""

    NAMES = ("rows", "foreign", "operations", "refused", "interrupted")

    def __init__(self, workers: int, ways: int) -> None:
        self._width = len(self.NAMES)
        self._counts = multiprocessing.RawArray("q", self._width * workers)
        self.tried = multiprocessing.RawArray("b", ways)

    def add(self, worker: int, number: int, counts: Sequence[int]) -> None:
        for place, count in enumerate(counts):
            self._counts[worker * self._width + place] += count
        interrupted = counts[-1]
        if not interrupted:
            self.tried[number] = 1

    def sums(self) -> dict[str, int]:
        return {name: sum(self._counts[i :: self._width]) for i, name in enumerate(self.NAMES)}


def run_worker(residents: Sequence[Tenant], tally: Tally, worker: int) -> None:
    """Until it is killed."""
    logging.disable()  # of lost connections, which it is all about
    random.seed()
    settings = load_settings()
    with ExitStack() as opened:
        database = opened.enter_context(closing(Database(settings.database_url or "")))
        visitor = None
        while visitor is None:
            with suppress(PlayheadError, psycopg.Error):
                services = opened.enter_context(open_services(settings))
                visitor = Attacker(database, services, residents[0])
        ways = list(visitor.ways.values())
        chunks = list(visitor.ways).index("table chunks")
        while True:
            number = chunks if random.random() < _CHUNKS_SHARE else _next(ways, tally)
            tally.add(worker, number, count_rows(ways[number], *random.sample(residents, 2)))


def _next(ways: Sequence[Way], tally: Tally) -> int:
    """One of those that nobody has tried, while there are any."""
    numbers = range(len(ways))
    untried = [number for number in numbers if not tally.tried[number]]
    [number] = random.choices(
        untried or numbers, [ways[index].weight for index in untried or numbers]
    )
    return number


def count_rows(way: Way, tenant: Tenant, other: Tenant) -> tuple[int, int, int, int, int]:
    """As ``Tally.NAMES``. The words of an error are looked at as a row is."""
    rows = foreign = refused = interrupted = 0
    try:
        for row in way.query(tenant, other) or ():
            rows += 1
            foreign += names_other_tenant(str(row), tenant.org)
    except (PlayheadError, psycopg.Error) as error:
        interrupted = int(_is_interruption(error))
        refused = 1 - interrupted
        foreign += names_other_tenant(
            _error_text(error, other if way.names_other else None), tenant.org
        )
    return rows, foreign, 1, refused, interrupted


def _is_interruption(error: PlayheadError | psycopg.Error) -> bool:
    """Else it is without the right, or keys that do not fit."""
    if isinstance(error, PlayheadError):
        return error.retryable
    return isinstance(error, psycopg.OperationalError)


def _error_text(error: PlayheadError | psycopg.Error, sent: Tenant | None) -> str:
    """All that an error says, without the names that it was sent."""
    told = f"{error} {error.remedy}" if isinstance(error, PlayheadError) else str(error)
    for name in (sent.canary, sent.org) if sent else ():
        told = told.replace(name, "")
    return told


class FaultInjector:
    """Workers, and what kills them and their sessions. ``url``: of the server itself."""

    def __init__(self, url: str, residents: Sequence[Tenant], tally: Tally) -> None:
        self._url = url
        self._residents, self._tally = residents, tally
        self._context = multiprocessing.get_context("fork")
        self.sessions_killed = self.workers_killed = 0

    def run_until(self, rows: int, workers: int) -> None:
        """Raises ``RuntimeError`` where a worker ends that nobody killed."""
        busy = [self._start(number) for number in range(workers)]
        try:
            while self._tally.sums()["rows"] < rows:
                time.sleep(random.uniform(0.5, 1.5) * _KILL_SECONDS)
                self._kill_sessions()
                if not all(process.is_alive() for process in busy):
                    raise RuntimeError("A worker ended by itself.")
                if random.random() < _WORKER_KILL_SHARE:
                    number = random.randrange(workers)
                    self._end(busy[number])
                    self.workers_killed += 1
                    busy[number] = self._start(number)
        finally:
            for process in busy:
                self._end(process)

    def _start(self, number: int) -> BaseProcess:
        process = self._context.Process(
            target=run_worker, args=(self._residents, self._tally, number), daemon=True
        )
        process.start()
        return process

    def _end(self, process: BaseProcess) -> None:
        assert process.pid is not None
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()

    def _kill_sessions(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            killed = connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <>"
                " pg_backend_pid() and datname = current_database()"
                " and backend_type = 'client backend'"
            ).fetchall()
        self.sessions_killed += len(killed)
