"""The supervisor: a small detached process per server.

It starts the server, restarts it after a crash, and stops it when the last user is gone. Run by
``server.py`` on the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from playhead.core.errors import PlayheadError
from playhead.postgres.embedded.cluster import Cluster, folder_error

LINGER_SECONDS = 5.0  # without users; ten short commands in a row start one server
POLL_SECONDS = 0.25


def supervise(cluster: Cluster, binaries: Path, supervisor_lock: int) -> None:
    """Supervise the server until it is stopped, or had no user for LINGER_SECONDS."""
    last_used, last_visit = time.monotonic(), 0
    while not _lost_lock(cluster, supervisor_lock):
        if not cluster.runs:
            if not cluster.crashed:
                return
            cluster.start(binaries)
        cluster.trim_log()
        users_lock = cluster.lock("users")
        visit = (cluster.folder / "users.lock").stat().st_mtime_ns
        if (
            users_lock is None or visit != last_visit
        ):  # there is a user, or there was one since the last poll
            last_used, last_visit = time.monotonic(), visit
        if time.monotonic() - last_used >= LINGER_SECONDS:
            cluster.stop()  # new users wait for the lock until this process ends
            return
        if users_lock is not None:
            os.close(users_lock)
        time.sleep(POLL_SECONDS)
    cluster.kill_immediate()


def _lost_lock(cluster: Cluster, supervisor_lock: int) -> bool:
    """Return True if the folder is no longer the one whose lock this supervisor holds."""
    path = cluster.folder / "keeper.lock"
    return not path.exists() or not os.path.samestat(path.stat(), os.fstat(supervisor_lock))


def main() -> None:
    """Start the server of ``FOLDER BINARIES LOCK`` in a process of its own, and supervise it.

    Reports the start on standard output as a JSON list: empty, or an error's class, message and
    remedy.
    """
    folder, binaries, supervisor_lock = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if os.fork():
        return
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    cluster, error = Cluster(folder), None
    try:
        cluster.start(binaries)
    except (PlayheadError, OSError) as cause:
        error = folder_error(folder, cause) if isinstance(cause, OSError) else cause
    report = [type(error).__name__, str(error), error.remedy] if error else []
    with suppress(BrokenPipeError):  # the starting process was killed meanwhile
        os.write(1, json.dumps(report).encode())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not error:
        supervise(cluster, binaries, supervisor_lock)
        cluster.remove_socket_dir()
