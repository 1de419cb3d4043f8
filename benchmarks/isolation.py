"""Whether organisations stay apart under load, all through one connection of a pooler.

    python -m benchmarks.isolation [--rows 1000000] [--organisations 20] [--workers 4] [--json]

Organisations with the same bytes and words, and a canary of their own in titles, words, names
and replies. Workers ask and write for organisations at random, through pgbouncer (``pool_mode``
transaction, one connection to the server); meanwhile their sessions are terminated and they are
killed (SIGKILL), at random. Every row of every answer is looked at for another organisation's name
or canary: of every table and view as both roles, of every named statement given another's keys, and
of the rooms that the face and the pipeline use. At the end every row that is stored is looked at,
as its owner sees it. Any foreign row: exit code 1. Needs pgbouncer.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import click
import numpy as np
import psycopg
from psycopg import sql

from benchmarks.homes import json_option, print_rows
from resources.errors import PlayheadError
from resources.postgres.breakers import Breakers
from resources.postgres.catalogue import Catalogue
from resources.postgres.content import Content
from resources.postgres.database import Database, Role
from resources.postgres.databases import create_database
from resources.postgres.ledger import Ledger
from resources.postgres.members import Members
from resources.postgres.migrations import migrate
from resources.postgres.quarantine import Quarantine
from resources.postgres.search import Passages
from resources.postgres.server import EmbeddedServer
from resources.postgres.sets import EmbeddingSets
from resources.postgres.spend import GROUPINGS, Ended, Intended, Spend
from resources.postgres.tokens import Tokens
from resources.postgres.versions import Versions
from resources.providers.errand import Errand
from resources.records import Filter, Recording
from tests import making, poolers
from tests.making import CHUNK_RECIPE, Worker
from tests.neighbours import every_statement, fill, names_of, values_of

_ROLES: tuple[Role, ...] = get_args(Role)
_NAMED = re.compile(r"(?:canary|org-)(\d\d)")
_PASSAGES = 200
_AMONG_CHUNKS = 0.3  # of all that is asked: there most of the rows are
_KILL_SECONDS = 1.0  # from one session to the next
_WORKERS_TOO = 0.2  # of those times
_SAME = "the very same words are said by everybody here"

Look = Callable[[], Iterable[object] | None]  # a write may give nothing


@dataclass(frozen=True, slots=True)
class Row:
    """``foreign``: rows of answers that were another's; ``misplaced``: stored rows with another's
    canary. ``refused``: writes on another's keys; ``interrupted``: operations that a kill ended."""

    organisations: int
    rows: int
    foreign: int
    misplaced: int
    operations: int
    refused: int
    interrupted: int
    sessions_killed: int
    workers_killed: int
    ways: int
    ways_untried: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Resident:
    """An organisation, its first recording, and what names its rows, as ``neighbours`` has it."""

    org: str
    canary: str
    recording: Recording
    heard: int
    keys: dict[str, Any]


class Visitor:
    """A process that works for organisations at random. ``ways``: what it does, by name."""

    def __init__(self, url: str, residents: Sequence[Resident]) -> None:
        self.database = Database(url)
        self.residents = residents
        self.ledger, self.content = Ledger(self.database), Content(self.database)
        self.tables = names_of(self.database, "rpv")
        self.statements = every_statement()
        [self.set] = EmbeddingSets(self.database).live()

    def ways(self, one: Resident, other: Resident) -> dict[str, Look]:
        """For ``one``, who has heard of the keys of ``other``."""
        database, recording, org = self.database, one.recording, one.org
        versions = Versions(database, self.ledger, self.content)
        catalogue, spend = Catalogue(database), Spend(database)
        passages, members, tokens = Passages(database), Members(database), Tokens(database)
        near = np.ones(3, np.float32)
        looks: dict[str, Look] = {
            f"table {name}": partial(self._table, one, name) for name in self.tables
        }
        looks |= {
            f"statement {name}": partial(self._statement, one, other, sent)
            for name, sent in self.statements.items()
        }
        looks |= {
            "statuses": lambda: catalogue.statuses(org),
            "under way": lambda: catalogue.under_way(org),
            "recording": lambda: [catalogue.get(org, recording.id)],
            "recording of another": lambda: [catalogue.get(org, other.recording.id)],
            "transcript": lambda: [self.content.transcript(recording, one.heard)],
            "transcript of another": lambda: [self.content.transcript(recording, other.heard)],
            "chunks": lambda: self.content.chunks(recording, CHUNK_RECIPE.hash),
            "passages": lambda: self.content.passages([(recording, CHUNK_RECIPE.hash)]).values(),
            "standing": lambda: self.ledger.standing([recording]).values(),
            "lineage": lambda: self.ledger.lineage(recording),
            "versions": lambda: [versions.all(recording), versions.speaker_names(recording)],
            "search by words": lambda: self._search(passages, org, None),
            "search by both": lambda: self._search(passages, org, near),
            "search in another's": lambda: self._search(passages, org, near, other.recording.id),
            "nearest": lambda: passages.nearest(near, self.set, org_id=org, limit=50),
            "exactly": lambda: passages.nearest_exactly(near, self.set, org_id=org, limit=50),
            "spend": lambda: [spend.sums(by, org_id=org, since=None) for by in GROUPINGS],
            "breakers": lambda: Breakers(database).opened(org),
            "quarantine": lambda: Quarantine(database).kept(org),
            "reply of another": lambda: [Quarantine(database).reply(org, 1)],
            "members": lambda: members.all(org),
            "tokens": lambda: tokens.all(org),
        }
        return looks | {
            "add": lambda: [catalogue.add(self._arrival(one))],
            "name a speaker": lambda: versions.name_speaker(recording, "Ada", one.canary),
            "archive": lambda: catalogue.archive(org, [recording.id]).values(),
            "unarchive": lambda: catalogue.unarchive(org, [recording.id]).values(),
            "archive another's": lambda: catalogue.archive(org, [other.recording.id]).values(),
            "add a member": lambda: members.add(org, f"{one.canary} {_word()}", "reader"),
            "make a token": lambda: self._token(tokens, one),
            "reserve and settle": lambda: self._spend(spend, one),
            "choose another's": lambda: self.ledger.choose(recording, other.heard, "me"),
            "write another's": lambda: self._write_for(one, other),
        }

    def _table(self, one: Resident, name: str) -> Iterable[object]:
        seen = self.database.within(one.org, random.choice(_ROLES))
        query = sql.SQL("select {name}::text from {name} limit 2000")
        with seen.transaction() as connection:
            return connection.execute(query.format(name=sql.Identifier(name))).fetchall()

    def _statement(self, one: Resident, other: Resident, sent: bytes) -> Iterable[object]:
        names = re.findall(r"%\((\w+)\)", sent.decode())
        values = {name: other.keys.get(name, other.keys["recording_id"]) for name in names}
        with (
            self.database.within(one.org, random.choice(_ROLES)).transaction() as connection,
            connection.transaction(force_rollback=True),
        ):
            cursor = connection.execute(sent, values)
            return cursor.fetchall() if cursor.description else []

    def _search(
        self, passages: Passages, org: str, near: Any, recording: str | None = None
    ) -> Iterable[object]:
        narrowed = Filter(recordings=(recording,)) if recording else Filter()
        words = random.choice(["same words", "canary", "everybody canary00 canary01"])
        return passages.find(words, near, self.set, org_id=org, narrowed=narrowed, limit=50)

    def _arrival(self, one: Resident) -> Recording:
        sha256 = f"{random.randrange(200):064x}"  # that others have as well
        return making.recording(org_id=one.org, title=one.canary, sha256=sha256)

    def _token(self, tokens: Tokens, one: Resident) -> Iterable[object]:
        _, text = tokens.create(one.org, one.canary, one.canary, ["read"], 1)
        return [tokens.bearer(text)]

    def _spend(self, spend: Spend, one: Resident) -> Iterable[object]:
        errand = Errand(one.org, one.canary, {one.recording.id: 1.0})
        intended = Intended(uuid.uuid4(), "q", one.canary, "embeddings", 0.01)
        permit = spend.begin(errand, intended, None)
        if permit.attempt_id is not None:
            spend.settle(one.org, permit.attempt_id, Ended(cost_usd=0.01))
        return [permit]

    def _write_for(self, one: Resident, other: Resident) -> Iterable[object]:
        statement = b"insert into members (org_id, name, role) values (%(org)s, 'me', 'owner')"
        return [self.database.within(one.org, "playhead_app").run(statement, org=other.org)]


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
        self.tried[number] = 1

    def sums(self) -> dict[str, int]:
        return {name: sum(self._counts[i :: self._width]) for i, name in enumerate(self.NAMES)}


def work(url: str, residents: Sequence[Resident], tally: Tally, worker: int) -> None:
    """Until it is killed."""
    logging.disable()  # of lost connections, which it is all about
    random.seed()
    visitor = None
    while visitor is None:
        with suppress(PlayheadError, psycopg.Error):
            visitor = Visitor(url, residents)
    while True:
        one, other = random.sample(residents, 2)
        ways = visitor.ways(one, other)
        number = random.randrange(len(ways))
        if random.random() < _AMONG_CHUNKS:
            number = list(ways).index("table chunks")
        tally.add(worker, number, _counts(one, list(ways.values())[number]))


def _counts(one: Resident, way: Look) -> tuple[int, int, int, int, int]:
    """As ``Tally.NAMES``."""
    rows = foreign = refused = interrupted = 0
    try:
        for row in way() or ():
            rows += 1
            foreign += any(f"org-{named}" != one.org for named in _NAMED.findall(str(row)))
    except psycopg.OperationalError:
        interrupted = 1
    except PlayheadError as error:
        interrupted, refused = int(error.retryable), int(not error.retryable)
    except psycopg.Error:  # without the right, or keys that do not fit this statement
        refused = 1
    return rows, foreign, 1, refused, interrupted


def _word() -> str:
    return f"{random.randrange(1 << 40):x}"


def settle_in(database: Database, count: int) -> list[Resident]:
    """The organisations, with a row in every table."""
    worker, sha256 = Worker(database), f"{0:064x}"
    residents = []
    for number in range(count):
        org, canary = f"org-{number:02}", f"canary{number:02}x{_word()}"
        recording = making.registered(database, org_id=org, sha256=sha256, title=canary)
        worker.probe(recording)
        worker.transcribe(recording, making.transcript(f"{_SAME} {canary}"))
        worker.write(recording)
        texts = [f"{_SAME} {place} {canary}" for place in range(_PASSAGES)]
        worker.cut(recording, making.passages(*texts))
        worker.embed(recording)
        fill(database, worker, recording, canary)
        heard = worker.current(recording, "transcript")
        assert heard is not None
        keys = values_of(database, recording, canary)
        residents.append(Resident(org, canary, recording, heard.id, keys))
    worker.ledger.close()
    return residents


def misplaced(database: Database) -> int:
    """Stored rows, as their owner sees them, that name another organisation than theirs."""
    found = 0
    query = sql.SQL("select org_id, {name}::text as everything from {name}")
    for name in names_of(database, "rp"):
        with database.connection() as connection:
            for row in connection.execute(query.format(name=sql.Identifier(name))):
                named = _NAMED.findall(row["everything"])
                found += any(f"org-{one}" != row["org_id"] for one in named)
    return found


class Mayhem:
    """Workers, and what kills them and their sessions."""

    def __init__(self, url: str, through: str, residents: Sequence[Resident], tally: Tally) -> None:
        self._url, self._through = url, through
        self._residents, self._tally = residents, tally
        self._context = multiprocessing.get_context("fork")
        self.sessions_killed = self.workers_killed = 0

    def until(self, rows: int, workers: int) -> None:
        busy = [self._start(number) for number in range(workers)]
        try:
            while self._tally.sums()["rows"] < rows:
                time.sleep(random.uniform(0.5, 1.5) * _KILL_SECONDS)
                self._kill_sessions()
                if random.random() < _WORKERS_TOO:
                    number = random.randrange(workers)
                    self._end(busy[number])
                    self.workers_killed += 1
                    busy[number] = self._start(number)
        finally:
            for one in busy:
                self._end(one)

    def _start(self, number: int) -> BaseProcess:
        process = self._context.Process(
            target=work, args=(self._through, self._residents, self._tally, number), daemon=True
        )
        process.start()
        return process

    def _end(self, process: BaseProcess) -> None:
        assert process.pid is not None
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


@contextmanager
def inhabited(count: int) -> Iterator[tuple[str, list[Resident], list[str]]]:
    """A server of its own; its URL, who lives there, and the ways to ask."""
    with TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "postgres")
        server.attach()
        try:
            create_database(server.url("postgres"), "playhead")
            url = server.url("playhead")
            migrate(url)
            database = Database(url)
            residents = settle_in(database, count)
            ways = list(Visitor(url, residents).ways(*residents[:2]))
            database.close()
            yield url, residents, ways
        finally:
            server.detach()
            server.stop()


@click.command()
@click.option("--rows", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--organisations", type=click.IntRange(2, 99), default=20, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True)
@json_option
def main(rows: int, organisations: int, workers: int, as_json: bool) -> None:
    """ROWS rows of answers, in ORGANISATIONS organisations, asked for by WORKERS."""
    if poolers.program() is None:
        raise click.ClickException("pgbouncer is not installed (Debian: apt install pgbouncer)")
    with inhabited(organisations) as (url, residents, ways), poolers.pooled(url) as through:
        tally = Tally(workers, len(ways))
        mayhem, began = Mayhem(url, through, residents, tally), time.monotonic()
        mayhem.until(rows, workers)
        seconds = time.monotonic() - began
        database = Database(url)
        row = Row(
            organisations=organisations,
            **tally.sums(),
            misplaced=misplaced(database),
            sessions_killed=mayhem.sessions_killed,
            workers_killed=mayhem.workers_killed,
            ways=len(ways),
            ways_untried=len(ways) - sum(tally.tried),
            seconds=round(seconds, 1),
        )
        database.close()
    print_rows([row], as_json=as_json)
    sys.exit(1 if row.foreign or row.misplaced else 0)


if __name__ == "__main__":
    main()
