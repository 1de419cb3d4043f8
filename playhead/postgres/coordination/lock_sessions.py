"""Sessions that belong to one piece of work while it lasts, for locks that must end with it.

Not here: pooled connections, which anybody may get next (``database.py``), and what is locked
(``ledger.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import DictRow, dict_row

from playhead.postgres.database import POOL_TIMEOUT_SECONDS, check, queries, unavailable

_SQL = queries("lock_sessions")
_PAUSE_SECONDS = 0.2  # between two tries to connect

Session = psycopg.Connection[DictRow]


class LockSessionPool:
    """As many as are in use at once, in autocommit mode; kept for whoever needs one next. May be
    used by several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Session] = []

    def close(self) -> None:
        for session in self._idle:
            session.close()

    @contextmanager
    def checkout(self) -> Iterator[Session]:
        """What it locked is free when it is left, however that is. Raises
        ``DatabaseUnavailable``, also when the session is lost inside."""
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
        """Waits for a server that is away as long as the pool does."""
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
            # Claims and progress need not outlive a power cut: what was made is committed for
            # good, and carries all that was written before.
            options="-c synchronous_commit=off",
        )
