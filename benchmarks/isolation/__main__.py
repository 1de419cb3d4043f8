"""Whether organisations stay apart under load, all through one connection of a pooler.

    python -m benchmarks.isolation [--rows 1000000] [--organisations 20] [--workers 4] [--json]

Organisations with the same bytes and words, and a canary of their own in titles, words, names
and replies. Workers ask and write for organisations at random, through pgbouncer (``pool_mode``
transaction, one connection to the server); meanwhile their sessions are terminated and they are
killed (SIGKILL), at random. Every row of every answer is looked at for another organisation's name
or canary: of every table and view as both roles, of every named statement given another's keys,
of the services that the face and the pipeline use, and of the face itself: searches, answers,
commands, exports, frames of the notebook; the words of every error, too. At the end every row that
is stored is looked at, as its owner sees it. Any foreign row: exit code 1. Needs pgbouncer.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass

import click

from benchmarks.environments import json_option, print_rows
from benchmarks.isolation.attacker import Attacker
from benchmarks.isolation.chaos import FaultInjector, Tally
from benchmarks.isolation.tenants import (
    TenantDatabase,
    count_misplaced_rows,
    create_tenants,
    use_home,
)
from playhead.core.settings import load_settings
from playhead.postgres.database import Database
from playhead.services.context import open_services
from tests.support import poolers


@dataclass(frozen=True, slots=True)
class Row:
    """``foreign``: rows of answers that were another's; ``misplaced``: stored rows with another's
    canary. ``refused``: what was asked or written with another's keys; ``interrupted``: operations
    that a kill ended."""

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


@click.command()
@click.option("--rows", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--organisations", type=click.IntRange(2, 99), default=20, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True)
@json_option
def main(rows: int, organisations: int, workers: int, as_json: bool) -> None:
    """ROWS rows of answers, in ORGANISATIONS organisations, asked for by WORKERS."""
    if poolers.find_pgbouncer() is None:
        raise click.ClickException("pgbouncer is not installed (Debian: apt install pgbouncer)")
    with create_tenants(organisations) as town:
        row = _measure(town, rows, workers)
    print_rows([row], as_json=as_json)
    sys.exit(1 if row.foreign or row.misplaced else 0)


def _measure(town: TenantDatabase, rows: int, workers: int) -> Row:
    with closing(Database(town.url)) as database, open_services(load_settings()) as services:
        ways = len(Attacker(database, services, town.tenants[0]).ways)
    tally = Tally(workers, ways)
    mayhem, began = FaultInjector(town.url, town.tenants, tally), time.monotonic()
    with poolers.run_pooler(town.url) as through, use_home(town.home, through):
        mayhem.run_until(rows, workers)
    seconds = time.monotonic() - began
    with closing(Database(town.url)) as database:
        astray = count_misplaced_rows(database)
    return Row(
        organisations=len(town.tenants),
        **tally.sums(),
        misplaced=astray,
        sessions_killed=mayhem.sessions_killed,
        workers_killed=mayhem.workers_killed,
        ways=ways,
        ways_untried=ways - sum(tally.tried),
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    main()
