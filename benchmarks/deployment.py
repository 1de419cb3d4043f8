"""The programs of a deployment, each started again when it dies, and a hand that kills them.

Code server, daemon and warm worker run as systemd would run them; the keeper sees to Postgres.
``Deployment`` starts again and kills on a thread of its own, so that whoever waits for a database
that is away does not keep it from either. Not here: what the programs are given to do, and what
must be true in the end (``kills.py``).
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

_LOOK_SECONDS = 0.1  # systemd's own pause before it starts a service again
_PAUSES_SECONDS = (0.3, 3.0)
_STOP_SECONDS = 10.0
_WORKSPACE = """load_from:
  - grpc_server: {{host: localhost, port: {port}, location_name: playhead}}
"""


@dataclass(slots=True)
class Program:
    """A program and its present process."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class KillPlan:
    """Kills that are still to be made, those that were, by victim, and when the last one was."""

    left: int
    done: Counter[str] = field(default_factory=Counter)
    last: float = field(default_factory=time.monotonic)


class Deployment(threading.Thread):
    """From ``with`` on its parts run, with the environment of that moment. ``kill`` begins the
    killing; ``killing.left`` is 0 when it is over."""

    def __init__(self, home: Home, dice: random.Random) -> None:
        super().__init__(daemon=True)
        port = free_port()
        self.workspace = home.log.with_name("workspace.yaml")
        self.workspace.write_text(_WORKSPACE.format(port=port))
        self.killing = KillPlan(0)
        self._home = home
        self._dice = dice
        self._ended = threading.Event()
        self._next = 0.0
        dagster, module = [sys.executable, "-m", "dagster"], "benchmarks.usage_counters"
        server = ["api", "grpc", "-m", module, "-a", "defs", "-p", str(port)]
        self._parts = [
            Program("code server", [*dagster, *server, "--location-name", "playhead"]),
            Program(
                "daemon",
                [sys.executable, "-m", "dagster._daemon", "run", "-w", self._workspace_path()],
            ),
            Program("warm worker", [sys.executable, "-m", module]),
        ]
        self._victims: Mapping[str, Callable[[], list[psutil.Process]]] = {
            **{part.name: self._processes_of(part) for part in self._parts},
            "run worker": self._run_workers,
            "keeper": self._supervisors,
            "postmaster": self._postmasters,
            "backend": lambda: [process for it in self._postmasters() for process in it.children()],
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
        self._ended.set()
        self.join()
        for part in self._parts:
            if part.process and part.runs:
                part.process.terminate()
        for part in self._parts:
            with suppress(subprocess.TimeoutExpired):
                if part.process:
                    part.process.wait(_STOP_SECONDS)
        for process in self._own_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def kill(self, count: int) -> KillPlan:
        """Begin to kill; the kills are counted in what is returned."""
        self.killing = KillPlan(count)
        return self.killing

    def run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            for part in self._parts:
                if not part.runs:
                    part.process = self._start(part)
            if self.killing.left and time.monotonic() >= self._next:
                self._kill_one()
                self._next = time.monotonic() + self._dice.uniform(*_PAUSES_SECONDS)

    def _kill_one(self) -> None:
        """One process, of a kind chosen among those that run."""
        there = {name: found for name, find in self._victims.items() if (found := find())}
        name = self._dice.choice(sorted(there))
        with suppress(psutil.NoSuchProcess):
            self._dice.choice(there[name]).kill()
            self.killing.done[name] += 1
            self.killing.last = time.monotonic()
            self.killing.left = max(0, self.killing.left - 1)

    def _start(self, part: Program) -> subprocess.Popen[bytes]:
        with self._home.log.open("ab") as log:
            log.write(f"\n--- {time.strftime('%H:%M:%S')} {part.name} starts\n".encode())
            log.flush()
            return subprocess.Popen(part.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _workspace_path(self) -> str:
        return str(self.workspace)

    def _processes_of(self, part: Program) -> Callable[[], list[psutil.Process]]:
        def find() -> list[psutil.Process]:
            return [psutil.Process(part.process.pid)] if part.process and part.runs else []

        return find

    def _run_workers(self) -> list[psutil.Process]:
        """Of any code server, also one that was killed."""
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
        """Every process of this home but the keeper and this one."""
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
