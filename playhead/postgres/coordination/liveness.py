"""Process liveness: which workers are alive, and what happens to the claims of dead ones.

A working process holds one advisory lock per role on a session of its own and sends a heartbeat
every few seconds. The locks end with the process, however it dies. A process that hangs, is
stopped, or whose machine is gone keeps its locks but sends no heartbeat: ``terminate_stalled`` ends
all its sessions, so that its claims are free. Whatever it writes when it wakes up loses against the
newer attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from playhead.postgres.coordination.notifications import WorkListener
from playhead.postgres.database import Database, queries, socket_is_idle, unavailable

WORKER = "worker"  # role of a process that starts pending recordings at once

HEARTBEAT_SECONDS = 5.0
#: A process without a heartbeat for this long is treated as stalled. A busy one needs far less.
STALLED_AFTER_SECONDS = 60.0
_CONNECT_SECONDS = 10

_SQL = queries("liveness")


def run_role(run_id: str) -> str:
    """Return the role that the worker of a run holds."""
    return f"run {run_id}"


@dataclass(frozen=True, slots=True)
class LivenessIntervals:
    """Seconds between heartbeats, and after which a process counts as stalled.

    ``poll_seconds``: between checks of this process's session. ``confirm_seconds``: between the two
    checks of a stalled process before it is terminated; a machine that slept wakes its processes
    one by one.
    """

    heartbeat_seconds: float = HEARTBEAT_SECONDS
    stalled_after_seconds: float = STALLED_AFTER_SECONDS
    poll_seconds: float = 0.5
    confirm_seconds: float = 2 * HEARTBEAT_SECONDS


class ProcessLiveness:
    """Sends this process's heartbeats and checks those of others. Safe for several threads."""

    def __init__(self, database: Database, intervals: LivenessIntervals | None = None) -> None:
        self._database = database
        self._intervals = intervals or LivenessIntervals()
        self._roles: list[str] = []
        self._session: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._heartbeat_thread: threading.Thread | None = None

    @contextmanager
    def hold(self, role: str) -> Iterator[None]:
        """Hold ``role`` inside the block, visible to other processes.

        Raises ``DatabaseUnavailable``.
        """
        with self._lock:
            try:
                self._connection().execute(_SQL["hold"], {"role": role})
            except psycopg.OperationalError as error:
                raise unavailable(error) from error
            self._roles.append(role)
            self._send_heartbeat()
        try:
            yield
        finally:
            with (
                self._lock,
                suppress(psycopg.OperationalError),
            ):  # a lost session has released its locks
                self._roles.remove(role)
                assert self._session is not None
                self._session.execute(_SQL["release"], {"role": role})

    def close(self) -> None:
        self._closed.set()
        if self._heartbeat_thread is not None:
            self._heartbeat_thread.join()
        if self._session is not None:
            self._session.close()

    def listener(self) -> WorkListener:
        """Return a ``WorkListener`` that is not yet started."""
        return WorkListener(self._database)

    def is_alive(self, role: str) -> bool:
        return not self.not_alive([role])

    def not_alive(self, roles: Sequence[str]) -> list[str]:
        """Return those of the roles that no living process holds."""
        rows = self._database.rows(
            _SQL["not_alive"], roles=list(roles), silent=self._intervals.stalled_after_seconds
        )
        return [row["role"] for row in rows]

    def terminate_stalled(self) -> int:
        """Terminate the sessions of stalled processes. Returns their number.

        Checks twice, some seconds apart.
        """
        suspects = self._stalled()
        if not suspects:
            return 0
        time.sleep(self._intervals.confirm_seconds)
        stalled = suspects & self._stalled()
        row = self._database.row(_SQL["terminate"], names=sorted(stalled))
        return int(row["ended"]) if row else 0

    def _stalled(self) -> set[str]:
        rows = self._database.rows(
            _SQL["select_stalled"], silent=self._intervals.stalled_after_seconds
        )
        return {row["application_name"] for row in rows}

    def _connection(self) -> psycopg.Connection[Any]:
        """Return the session, or a new one with all roles if it was lost."""
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(
                self._database.url, autocommit=True, connect_timeout=_CONNECT_SECONDS
            )
            for role in self._roles:
                self._session.execute(_SQL["hold"], {"role": role})
        return self._session

    def _send_heartbeat(self) -> None:
        if self._heartbeat_thread is None:
            self._heartbeat_thread = threading.Thread(target=self._send_heartbeats, daemon=True)
            self._heartbeat_thread.start()

    def _send_heartbeats(self) -> None:
        """Send heartbeats, and take all roles again as soon as the session was lost."""
        sent_at = time.monotonic()
        while not self._closed.wait(self._intervals.poll_seconds):
            with (
                self._lock,
                suppress(psycopg.OperationalError),
            ):  # unavailable: the next poll tries again
                session = self._connection()
                if (
                    time.monotonic() - sent_at >= self._intervals.heartbeat_seconds
                    or not socket_is_idle(session.fileno())
                ):
                    session.execute(_SQL["heartbeat"])
                    sent_at = time.monotonic()
