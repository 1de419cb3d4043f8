"""Shared by the benchmarks: a Playhead installation of their own, and its costs.

A ``Home`` is a temporary folder with its own database server, inbox and Dagster.
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
    """An installation: settings, the services of its database, and the log of its programs."""

    settings: Settings
    services: PipelineServices
    instance: dg.DagsterInstance
    log: Path

    @property
    def inbox(self) -> Path:
        return self.settings.home / "inbox"

    @property
    def idle(self) -> bool:
        """Return True if nothing is left to ingest or to process."""
        return not any(self.inbox.iterdir()) and not self.services.pipeline.recordings.backlog()

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program of the virtual environment with its output in the log."""
        with self.log.open("ab") as log:
            command = [str(_PROGRAMS / program), *arguments]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def run(self, program: str, *arguments: str) -> None:
        """Start a program and wait for its success. Raises ``ClickException`` with the log."""
        if self.start(program, *arguments).wait():
            raise self.failure()

    def failure(self) -> click.ClickException:
        return click.ClickException(self.log.read_text("utf-8", "replace"))

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[psutil.Process]:
        """Start a program, and end it with all its children."""
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
        """Run ``dagster dev`` like ``make dev``, until its sensors have ticked once.

        A free port is used if none is given.
        """
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
    """Wall and CPU seconds, runs, and database sessions since some moment.

    ``programs`` is the CPU of all programs started from here.
    """

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
    """Yield an installation whose engines have these names.

    This process changes into its folder and takes its settings from the environment, until the end.
    """
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
        stack.enter_context(chdir(folder))  # a folder without .env
        settings = load_settings()
        (settings.home / "inbox").mkdir(parents=True)
        stack.callback(embedded_server(settings).stop)
        services = stack.enter_context(open_pipeline_services(settings, build_engines(settings)))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        yield Home(settings, services, instance, folder / "log.txt")


def measure_cost(home: Home) -> Cost:
    """Return the cost so far, without this process itself, which only measures."""
    own_process = psutil.Process()
    own_times = own_process.cpu_times()
    server = embedded_server(home.settings).pid
    return Cost(
        wall=time.monotonic(),
        programs=_cpu_seconds(own_process.children(recursive=True))
        + own_times.children_user
        + own_times.children_system,
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


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = 0.5) -> None:
    """Wait until the condition holds. Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not so after {seconds:.0f} s.")
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of the processes and of their ended children."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Use these variables as the only settings inside the context."""
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
    """Print each row as JSON when it is there, or all as a table at the end."""
    table: Table | None = None
    for row in rows:
        values = asdict(row)
        table = table or Table(*values)
        table.add_row(*map(str, values.values()))
        if as_json:
            click.echo(json.dumps(values))
    if table and not as_json:
        Console().print(table)
