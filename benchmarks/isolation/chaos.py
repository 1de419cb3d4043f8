"""Workers that read and write without end, and a thread that kills them and their sessions.

``attacker.py`` and ``http_like.py`` list their operations.
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

_CHUNKS_SHARE = 0.3  # of all operations, since this table has the most rows
_KILL_SECONDS = 1.0  # between kills of sessions
_WORKER_KILL_SHARE = 0.2  # of these kills


class Tally:
    """Counts of every worker in memory that outlives a killed worker."""

    NAMES = ("rows", "foreign", "operations", "refused", "interrupted")

    def __init__(self, workers: int, ways: int) -> None:
        self._width = len(self.NAMES)
        self._counts = multiprocessing.RawArray("q", self._width * workers)
        self.tried = multiprocessing.RawArray("b", ways)

    def add(self, worker: int, number: int, counts: Sequence[int]) -> None:
        for index, count in enumerate(counts):
            self._counts[worker * self._width + index] += count
        interrupted = counts[-1]
        if not interrupted:
            self.tried[number] = 1

    def sums(self) -> dict[str, int]:
        return {name: sum(self._counts[i :: self._width]) for i, name in enumerate(self.NAMES)}


def run_worker(tenants: Sequence[Tenant], tally: Tally, worker: int) -> None:
    """Read and write at random until the process is killed."""
    logging.disable()  # connections are lost on purpose
    random.seed()
    settings = load_settings()
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(settings.database_url or "")))
        visitor = None
        while visitor is None:
            with suppress(PlayheadError, psycopg.Error):
                services = stack.enter_context(open_services(settings))
                visitor = Attacker(database, services, tenants[0])
        ways = list(visitor.ways.values())
        chunks = list(visitor.ways).index("table chunks")
        while True:
            number = chunks if random.random() < _CHUNKS_SHARE else _next(ways, tally)
            tally.add(worker, number, count_rows(ways[number], *random.sample(tenants, 2)))


def _next(ways: Sequence[Way], tally: Tally) -> int:
    """Return a way that has not been tried, while there are any, else a random one."""
    numbers = range(len(ways))
    untried = [number for number in numbers if not tally.tried[number]]
    [number] = random.choices(
        untried or numbers, [ways[index].weight for index in untried or numbers]
    )
    return number


def count_rows(way: Way, tenant: Tenant, other: Tenant) -> tuple[int, int, int, int, int]:
    """Return the counts of ``Tally.NAMES``; error messages are checked like rows."""
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
    """Return True if a kill caused the error, False for missing rights or wrong keys."""
    if isinstance(error, PlayheadError):
        return error.retryable
    return isinstance(error, psycopg.OperationalError)


def _error_text(error: PlayheadError | psycopg.Error, named: Tenant | None) -> str:
    """Return the text of an error, without the names that were sent."""
    message = f"{error} {error.remedy}" if isinstance(error, PlayheadError) else str(error)
    for name in (named.canary, named.org) if named else ():
        message = message.replace(name, "")
    return message


class FaultInjector:
    """Runs the workers, and kills them and their sessions. ``url``: of the server itself."""

    def __init__(self, url: str, tenants: Sequence[Tenant], tally: Tally) -> None:
        self._url = url
        self._tenants, self._tally = tenants, tally
        self._context = multiprocessing.get_context("fork")
        self.sessions_killed = self.workers_killed = 0

    def run_until(self, rows: int, workers: int) -> None:
        """Run until so many rows were read. Raises ``RuntimeError`` if a worker ends by itself."""
        processes = [self._start(number) for number in range(workers)]
        try:
            while self._tally.sums()["rows"] < rows:
                time.sleep(random.uniform(0.5, 1.5) * _KILL_SECONDS)
                self._kill_sessions()
                if not all(process.is_alive() for process in processes):
                    raise RuntimeError("A worker ended by itself.")
                if random.random() < _WORKER_KILL_SHARE:
                    number = random.randrange(workers)
                    self._end(processes[number])
                    self.workers_killed += 1
                    processes[number] = self._start(number)
        finally:
            for process in processes:
                self._end(process)

    def _start(self, number: int) -> BaseProcess:
        process = self._context.Process(
            target=run_worker, args=(self._tenants, self._tally, number), daemon=True
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
