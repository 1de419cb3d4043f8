"""Notifications (LISTEN/NOTIFY) that tell a worker about pending work, so that it need not poll.

A transaction that makes a recording pending notifies when it commits. Notifications that come close
together are merged.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg

from playhead.postgres.database import Database, queries

_RETRY_SECONDS = 1.0
_POLL_INTERVAL_SECONDS = 0.5  # how long closing may take

_SQL = queries("liveness")


class WorkListener(threading.Thread):
    """Thread that sets ``work_available`` when there may be work.

    It is set by a notification, and whenever notifications may have been missed, for example after
    a restart of the server.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self.work_available = threading.Event()
        self._database = database
        self._closed = threading.Event()

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._database.url, autocommit=True) as session:
                    self._listen(session)
            except psycopg.OperationalError:
                self._closed.wait(_RETRY_SECONDS)

    def close(self) -> None:
        self._closed.set()
        self.join()

    def _listen(self, session: psycopg.Connection[Any]) -> None:
        session.execute(_SQL["listen"])
        self.work_available.set()
        while not self._closed.is_set():
            for _ in session.notifies(timeout=_POLL_INTERVAL_SECONDS, stop_after=1):
                self.work_available.set()
