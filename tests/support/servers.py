"""Helpers for embedded servers: use them from other programs, list and kill their processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from playhead.postgres.embedded.server import EmbeddedServer

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
USER_PROGRAM = """
import sys
from pathlib import Path
from playhead.postgres.embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.attach()
print(server.pid, flush=True)
sys.stdin.read()
"""


def start_user_process(folder: Path, *, uid: int | None = None) -> subprocess.Popen[str]:
    """Start a program that uses the server until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        user=uid,
        env=ENVIRONMENT,
    )


def server_pid(user: subprocess.Popen[str]) -> int:
    assert user.stdout is not None
    return int(user.stdout.readline())


def kill_processes(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pids_of(folder: Path, name: str = "") -> list[int]:
    """Return the programs with the folder in their command line: supervisor, initdb, postmaster."""
    listing = subprocess.run(
        ["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(maxsplit=1) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, args in lines if str(folder) in args and name in args]


def supervisor_pid(folder: Path) -> int:
    (pid,) = pids_of(folder, "supervisor")
    return pid


def all_pids(server: EmbeddedServer) -> list[int]:
    """Return the pids of the postmaster, its workers and its backends."""
    with psycopg.connect(server.url("postgres")) as connection:
        rows = connection.execute("select pid from pg_stat_activity").fetchall()
    return [*filter(None, [server.pid]), *(pid for (pid,) in rows)]


def child_pids(server: EmbeddedServer, name: str) -> list[int]:
    """Return the pids of the server's processes that have this name."""
    listing = subprocess.run(
        ["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, parent, args in lines if int(parent) == server.pid and name in args]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def insert_word(server: EmbeddedServer, word: str) -> None:
    with psycopg.connect(server.attach(), autocommit=True) as connection:
        connection.execute("create table if not exists words (word text)")
        connection.execute("insert into words values (%s)", [word])


def list_words(server: EmbeddedServer) -> list[str]:
    with psycopg.connect(server.attach()) as connection:
        return [word for (word,) in connection.execute("select word from words").fetchall()]


def socket_folder(server: EmbeddedServer) -> Path:
    return Path(parse_qs(urlsplit(server.url("postgres")).query)["host"][0])
