"""Database sessions that belong to one piece of work, for locks that must end with it.

They are not pooled connections of ``Database``, which any thread may get next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import DictRow, dict_row

from playhead.postgres.database import POOL_TIMEOUT_SECONDS, check, queries, unavailable

_SQL = queries("lock_sessions")
_PAUSE_SECONDS = 0.2  # between two attempts to connect

Session = psycopg.Connection[DictRow]


class LockSessionPool:
    """A pool of autocommit sessions, one for each concurrent user. Safe for several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Session] = []

    def close(self) -> None:
        for session in self._idle:
            session.close()

    @contextmanager
    def checkout(self) -> Iterator[Session]:
        """Yield a session; all its locks are released at the end, however the block ends.

        Raises ``DatabaseUnavailable``, also if the session is lost inside the block.
        """
        session = self._take_idle() or self._new()
        try:
            yield session
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        finally:
            with suppress(psycopg.OperationalError):  # a lost session has lost its locks already
                session.execute(_SQL["unlock"])
                self._idle.append(session)

    def _take_idle(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            with suppress(psycopg.OperationalError):
                check(session)
                return session
        return None

    def _new(self) -> Session:
        """Open a session. Waits as long as the connection pool does for an unavailable server."""
        deadline = time.monotonic() + POOL_TIMEOUT_SECONDS
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise unavailable(error) from error
                time.sleep(_PAUSE_SECONDS)

    def _connect(self) -> Session:
        return psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            # Claims and progress need not survive a power cut. Results are committed durably, and
            # such a commit includes everything that was written before.
            options="-c synchronous_commit=off",
        )
