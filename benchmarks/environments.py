"""What the benchmarks share: an installation of Playhead of their own, and what it costs.

A ``Home`` lives in a temporary folder with its own database server, inbox and Dagster, and is
gone afterwards. Not here: what is measured (a file each beside this one).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dagster as dg
import psutil
import psycopg
from dagster._core.scheduler.instigation import InstigatorType
from rich.console import Console
from rich.table import Table

from playhead.core.settings import Settings, load_settings
from playhead.engines.registry import build_engines
from playhead.postgres.database_urls import embedded_server
from playhead.services.context import PipelineServices, open_pipeline_services

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_REPOSITORY = Path(__file__).resolve().parent.parent
_PROGRAMS = Path(sys.executable).parent
_START_SECONDS = 180.0
_STOP_SECONDS = 60.0
_OURS = ("PLAYHEAD_", "DAGSTER_", "DATABASE_URL")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON line a row.")


@dataclass(frozen=True, slots=True)
class Home:
    """An installation: settings, the services of its database, the log of what it says."""

    settings: Settings
    services: PipelineServices
    instance: dg.DagsterInstance
    log: Path

    @property
    def inbox(self) -> Path:
        return self.settings.home / "inbox"

    @property
    def idle(self) -> bool:
        """Whether nothing is left to take in or to process."""
        return not any(self.inbox.iterdir()) and not self.services.pipeline.recordings.backlog()

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A program of the virtual environment, its words to the log."""
        with self.log.open("ab") as log:
            command = [str(_PROGRAMS / program), *arguments]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def run(self, program: str, *arguments: str) -> None:
        """``start``, and wait for its success. Raises ``ClickException`` with the log."""
        if self.start(program, *arguments).wait():
            raise self.failure()

    def failure(self) -> click.ClickException:
        return click.ClickException(self.log.read_text("utf-8", "replace"))

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[psutil.Process]:
        """``start``, and end it with all that it started."""
        child = self.start(program, *arguments)
        process = psutil.Process(child.pid)
        try:
            yield process
        finally:
            family = process.children(recursive=True)
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_STOP_SECONDS)
            for survivor in (process, *family):
                with suppress(psutil.NoSuchProcess):
                    survivor.kill()

    @contextmanager
    def dagster(self, port: int = 0) -> Iterator[psutil.Process]:
        """``dagster dev`` as ``make dev`` has it, on a free port if none is given; its sensors
        have looked once."""
        workspace = str(_REPOSITORY / "workspace.yaml")
        arguments = ("dev", "-w", workspace, "--port", str(port or free_port()))
        with self.running("dagster", *arguments) as process:
            wait_until(self._sensors_ticked, seconds=_START_SECONDS)
            yield process

    def _sensors_ticked(self) -> bool:
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        ticked = [state for state in states if state.instigator_data]
        return any(state.instigator_name == "inbox" for state in ticked)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall and CPU since some moment, runs, and sessions that were opened at the
    databases. ``ours`` is the CPU of all programs started from here."""

    wall: float
    programs: float
    postgres: float
    runs: int
    sessions: int

    def __sub__(self, earlier: Cost) -> Cost:
        return Cost(
            self.wall - earlier.wall,
            self.programs - earlier.programs,
            self.postgres - earlier.postgres,
            self.runs - earlier.runs,
            self.sessions - earlier.sessions,
        )


@contextmanager
def temporary_home(**engines: str) -> Iterator[Home]:
    """An installation whose engines have these names. This process is moved into it, its
    settings become environment variables, and both are as before in the end."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="playhead-", ignore_cleanup_errors=True)
            )
        )
        shutil.copy(_REPOSITORY / "dagster.yaml", folder)
        variables = {f"PLAYHEAD_{name.upper()}": engine for name, engine in engines.items()}
        variables |= {"PLAYHEAD_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder)}
        stack.enter_context(environment(variables))
        stack.enter_context(chdir(folder))  # where no .env is
        settings = load_settings()
        (settings.home / "inbox").mkdir(parents=True)
        stack.callback(embedded_server(settings).stop)
        services = stack.enter_context(open_pipeline_services(settings, build_engines(settings)))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        yield Home(settings, services, instance, folder / "log.txt")


def measure_cost(home: Home) -> Cost:
    """So far. This process itself does not count: it only looks."""
    me = psutil.Process()
    reaped = me.cpu_times()
    server = embedded_server(home.settings).pid
    return Cost(
        wall=time.monotonic(),
        programs=_cpu_seconds(me.children(recursive=True))
        + reaped.children_user
        + reaped.children_system,
        postgres=_cpu_seconds([psutil.Process(server), *psutil.Process(server).children()])
        if server
        else 0.0,
        runs=home.instance.get_runs_count(),
        sessions=_sessions(home.settings),
    )


def _sessions(settings: Settings) -> int:
    url = embedded_server(settings).url("postgres")
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select sum(sessions) from pg_stat_database where datname like 'playhead%'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def wait_until(holds: Callable[[], bool], *, seconds: float, every: float = 0.5) -> None:
    """Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not so after {seconds:.0f} s.")
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """With those of their children that have ended."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """While inside, these are the only settings."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_OURS):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def print_rows(rows: Iterable[DataclassInstance], *, as_json: bool) -> None:
    """Each row as JSON when it is there, or all as a table at the end."""
    table: Table | None = None
    for row in rows:
        values = asdict(row)
        table = table or Table(*values)
        table.add_row(*map(str, values.values()))
        if as_json:
            click.echo(json.dumps(values))
    if table and not as_json:
        Console().print(table)
