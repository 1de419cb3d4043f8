"""A connection pooler, as hosts of Postgres run one.

pgbouncer lets all clients share one server connection, one transaction at a time.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

_CONFIGURATION = """
[databases]
* = host=/proc/self/cwd port=5432 user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 1
max_client_conn = 500
listen_port = 6543
unix_socket_dir = {folder}
auth_type = any
server_login_retry = 0
server_check_delay = 0
"""
_START_SECONDS = 10.0


def find_pgbouncer() -> str | None:
    """Return the path of pgbouncer, or None if it is not installed.

    Debian: apt install pgbouncer.
    """
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def run_pooler(url: str) -> Iterator[str]:
    """Yield the URL of the same database of an embedded server, through a pooler of its own."""
    parts = urlsplit(url)
    server = parse_qs(parts.query)["host"][0]
    with TemporaryDirectory(prefix="pooler-") as name:
        folder, owner = Path(name), pwd.getpwuid(Path(server).stat().st_uid).pw_name
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        command = [find_pgbouncer() or "pgbouncer", "-q", str(configuration)]
        if os.geteuid() == 0:  # pgbouncer refuses to run as root
            shutil.chown(folder, owner)
            command[1:1] = ["-u", owner]
        # Started in the folder of the server's socket: other users may not be able to enter it.
        pooler = subprocess.Popen(
            command, cwd=server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            pooled_url = f"postgresql://postgres@{parts.path}?host={quote(name, safe='')}&port=6543"
            _wait_for(pooled_url)
            yield pooled_url
        finally:
            pooler.terminate()
            pooler.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            connection.execute("select 1")
            return
        time.sleep(0.05)
    raise TimeoutError("pgbouncer does not answer")
