"""The programs of a deployment, restarted when they die, and a thread that kills them.

Code server, daemon and warm worker run as under systemd; the supervisor restarts Postgres.
``Deployment`` restarts and kills on a thread of its own, so that waiting for an unavailable
database does not block it. ``kills.py`` gives the programs work and checks the result.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from benchmarks.environments import Home, free_port
from playhead.postgres.database_urls import embedded_server

_POLL_SECONDS = 0.1  # systemd's own pause before it starts a service again
_PAUSES_SECONDS = (0.3, 3.0)
_STOP_SECONDS = 10.0
_WORKSPACE = """load_from:
  - grpc_server: {{host: localhost, port: {port}, location_name: playhead}}
"""


@dataclass(slots=True)
class Program:
    """A program and its current process."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class KillPlan:
    """The number of kills left, those done by victim, and the time of the last one."""

    left: int
    done: Counter[str] = field(default_factory=Counter)
    last: float = field(default_factory=time.monotonic)


class Deployment(threading.Thread):
    """A thread that runs the programs inside ``with``, with the environment of that moment.

    ``kill`` starts killing; ``killing.left`` is 0 when it is over.
    """

    def __init__(self, home: Home, rng: random.Random) -> None:
        super().__init__(daemon=True)
        port = free_port()
        self.workspace = home.log.with_name("workspace.yaml")
        self.workspace.write_text(_WORKSPACE.format(port=port))
        self.killing = KillPlan(0)
        self._home = home
        self._rng = rng
        self._stop = threading.Event()
        self._next = 0.0
        dagster, module = [sys.executable, "-m", "dagster"], "benchmarks.usage_counters"
        server = ["api", "grpc", "-m", module, "-a", "defs", "-p", str(port)]
        self._programs = [
            Program("code server", [*dagster, *server, "--location-name", "playhead"]),
            Program(
                "daemon",
                [sys.executable, "-m", "dagster._daemon", "run", "-w", self._workspace_path()],
            ),
            Program("warm worker", [sys.executable, "-m", module]),
        ]
        self._victims: Mapping[str, Callable[[], list[psutil.Process]]] = {
            **{program.name: self._processes_of(program) for program in self._programs},
            "run worker": self._run_workers,
            "supervisor": self._supervisors,
            "postmaster": self._postmasters,
            "backend": lambda: [
                process for postmaster in self._postmasters() for process in postmaster.children()
            ],
        }

    def __enter__(self) -> Deployment:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.join()
        for program in self._programs:
            if program.process and program.runs:
                program.process.terminate()
        for program in self._programs:
            with suppress(subprocess.TimeoutExpired):
                if program.process:
                    program.process.wait(_STOP_SECONDS)
        for process in self._own_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def kill(self, count: int) -> KillPlan:
        """Start killing, and return the plan in which the kills are counted."""
        self.killing = KillPlan(count)
        return self.killing

    def run(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            for program in self._programs:
                if not program.runs:
                    program.process = self._start(program)
            if self.killing.left and time.monotonic() >= self._next:
                self._kill_one()
                self._next = time.monotonic() + self._rng.uniform(*_PAUSES_SECONDS)

    def _kill_one(self) -> None:
        """Kill one process, of a kind chosen among the running ones."""
        running = {name: found for name, find in self._victims.items() if (found := find())}
        name = self._rng.choice(sorted(running))
        with suppress(psutil.NoSuchProcess):
            self._rng.choice(running[name]).kill()
            self.killing.done[name] += 1
            self.killing.last = time.monotonic()
            self.killing.left = max(0, self.killing.left - 1)

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        with self._home.log.open("ab") as log:
            log.write(f"\n--- {time.strftime('%H:%M:%S')} {program.name} starts\n".encode())
            log.flush()
            return subprocess.Popen(
                program.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _workspace_path(self) -> str:
        return str(self.workspace)

    def _processes_of(self, program: Program) -> Callable[[], list[psutil.Process]]:
        def find() -> list[psutil.Process]:
            return [psutil.Process(program.process.pid)] if program.process and program.runs else []

        return find

    def _run_workers(self) -> list[psutil.Process]:
        """Return the run workers of any code server, also of a killed one."""
        return [
            process
            for process in self._own_processes()
            if "multiprocessing.spawn" in _command(process)
        ]

    def _supervisors(self) -> list[psutil.Process]:
        folder = str(self._home.settings.home / "postgres")
        return [
            process
            for process in psutil.process_iter()
            if "playhead.postgres.embedded.supervisor" in _command(process)
            and folder in _command(process)
        ]

    def _postmasters(self) -> list[psutil.Process]:
        pid = embedded_server(self._home.settings).pid
        with suppress(psutil.NoSuchProcess):
            return [psutil.Process(pid)] if pid else []
        return []

    def _own_processes(self) -> list[psutil.Process]:
        """Return every process of this home but the supervisor and this one."""
        return [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid()
            and _home_of(process) == str(self._home.log.parent)
            and "playhead.postgres.embedded.supervisor" not in _command(process)
        ]


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""


def _home_of(process: psutil.Process) -> str | None:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return process.environ().get("DAGSTER_HOME")
    return None
