"""Check that organisations stay isolated under load, all through one connection of a pooler.

    python -m benchmarks.isolation [--rows 1000000] [--organisations 20] [--workers 4] [--json]

The organisations have the same bytes and words, and a unique canary in titles, words, names and
replies. Workers read and write for organisations at random, through pgbouncer (``pool_mode``
transaction, one connection to the server); meanwhile their sessions are terminated and they are
killed (SIGKILL), at random. Every row of every answer is searched for another organisation's name
or canary: of every table and view as both roles, of every named statement given another's keys,
of the services behind the HTTP API and the pipeline, and of the application code itself:
searches, answers, commands, exports and frames of the notebook; error messages, too. At the end
every stored row is searched as its owner. Any foreign row: exit code 1. Needs pgbouncer.
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
    """The counts of a run.

    ``foreign``: rows of answers that belong to another; ``misplaced``: stored rows with another's
    canary. ``refused``: reads and writes with another's keys that failed; ``interrupted``:
    operations that a kill ended.
    """

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
    """Read ROWS rows of answers in ORGANISATIONS organisations with WORKERS."""
    if poolers.find_pgbouncer() is None:
        raise click.ClickException("pgbouncer is not installed (Debian: apt install pgbouncer)")
    with create_tenants(organisations) as tenant_database:
        row = _measure(tenant_database, rows, workers)
    print_rows([row], as_json=as_json)
    sys.exit(1 if row.foreign or row.misplaced else 0)


def _measure(tenant_database: TenantDatabase, rows: int, workers: int) -> Row:
    with (
        closing(Database(tenant_database.url)) as database,
        open_services(load_settings()) as services,
    ):
        ways = len(Attacker(database, services, tenant_database.tenants[0]).ways)
    tally = Tally(workers, ways)
    injector, started_at = (
        FaultInjector(tenant_database.url, tenant_database.tenants, tally),
        time.monotonic(),
    )
    with (
        poolers.run_pooler(tenant_database.url) as pooled_url,
        use_home(tenant_database.home, pooled_url),
    ):
        injector.run_until(rows, workers)
    seconds = time.monotonic() - started_at
    with closing(Database(tenant_database.url)) as database:
        misplaced_rows = count_misplaced_rows(database)
    return Row(
        organisations=len(tenant_database.tenants),
        **tally.sums(),
        misplaced=misplaced_rows,
        sessions_killed=injector.sessions_killed,
        workers_killed=injector.workers_killed,
        ways=ways,
        ways_untried=ways - sum(tally.tried),
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    main()
