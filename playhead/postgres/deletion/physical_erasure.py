"""Erases the bytes of deleted rows from the server's files.

Postgres leaves a deleted row in its page until the space is reused, in planner statistics and in
the write-ahead log (WAL), and a full-text index keeps every word it ever had. On the embedded
server everything that holds text is rewritten, table by table (docs/decisions/0006).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from playhead.core.errors import TransientError
from playhead.postgres.database import Connection, queries, unavailable

_SQL = queries("physical_erasure")
LOCK_TIMEOUT_SECONDS = 60.0  # for transactions that started before the deletion
_POLL_INTERVAL_SECONDS = 0.1


class RowsStillVisible(TransientError):
    """An open transaction can still see the deleted rows, or locks their table."""


@dataclass(frozen=True, slots=True)
class _Session:
    """A connection, and how long to wait for other transactions."""

    connection: Connection
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS


def erase(url: str, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
    """Rewrite every table of the database that can hold text, without its deleted rows.

    Waits for transactions that can still see them. No query waits longer than the rewriting of one
    table takes; the full-text index of the chunks is built afterwards, and searches are slower in
    the meantime. Raises ``RowsStillVisible`` or ``DatabaseUnavailable``.
    """
    try:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            connection.execute(_SQL["set_lock_timeout"])
            session = _Session(connection, lock_timeout_seconds)
            _wait_for_open_transactions(session)
            _for_each_table(session, "tables", "rewrite")
            if connection.execute(_SQL["chunks"]).fetchone():
                _rewrite_chunks(session)
            _for_each_table(session, "vector_tables", "vacuum")
            _retry_statement(session, _SQL["rewrite_statistics"])
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def clear_log(url: str) -> None:
    """Drop the write-ahead log up to now.

    The server does not reuse its files (``wal_recycle``), so their bytes are deleted with them.
    Raises ``DatabaseUnavailable``.
    """
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for name in ("checkpoint", "new_log_file", "checkpoint"):
                connection.execute(_SQL[name])
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def vacuum(url: str) -> None:
    """Vacuum a server that is not ours.

    Deleted rows leave tables, indexes and statistics; their bytes go as that server reuses its
    pages and its log. Raises ``DatabaseUnavailable``.
    """
    try:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            session = _Session(connection)
            for tables in ("tables", "chunks", "vector_tables"):
                _for_each_table(session, tables, "vacuum")
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def _rewrite_chunks(session: _Session) -> None:
    """Rewrite the chunks table without its full-text index, which is built afterwards.

    With it, the lock that searches wait for would last three times as long.
    """
    _retry_statement(session, _SQL["drop_words_index"])
    try:
        _retry_statement(session, _SQL["rewrite_chunks"])
    finally:
        _retry_statement(session, _SQL["build_words_index"])


def _for_each_table(session: _Session, tables: str, statement: str) -> None:
    for row in session.connection.execute(_SQL[tables]).fetchall():
        template = sql.SQL(_SQL[statement].decode())
        _retry_statement(session, template.format(table=sql.SQL(row["name"])))


def _retry_statement(session: _Session, statement: bytes | sql.Composed) -> None:
    """Run a statement with a short lock timeout, and retry it.

    A statement that waits for a lock makes all later ones wait, so it asks briefly and again.
    """
    deadline = time.monotonic() + session.lock_timeout_seconds
    while True:
        try:
            session.connection.execute(statement)
            return
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise RowsStillVisible(
                    f"A transaction uses a table for too long: {error}",
                    remedy="Run the same command again when that transaction has ended.",
                ) from error
            time.sleep(_POLL_INTERVAL_SECONDS)


def _wait_for_open_transactions(session: _Session) -> None:
    """Wait until no open transaction can see the deleted rows.

    Until then Postgres keeps a deleted row, also in a table that is rewritten.
    """
    xid = _row(session.connection, "now")["xid"]
    deadline = time.monotonic() + session.lock_timeout_seconds
    while blockers := session.connection.execute(
        _SQL["open_transactions"], {"xid": xid}
    ).fetchall():
        for blocker in blockers:
            if blocker["idle"]:
                session.connection.execute(_SQL["cancel"], {"pid": blocker["pid"]})
        if time.monotonic() > deadline:
            raise RowsStillVisible(
                f"Deleted rows are still visible to {_names(blockers)}.",
                remedy="Run the same command again when they have ended.",
            )
        time.sleep(_POLL_INTERVAL_SECONDS)


def _names(blockers: list[DictRow]) -> str:
    return ", ".join(
        f"{blocker['application_name'] or 'process'} {blocker['pid']}" for blocker in blockers
    )


def _row(connection: Connection, name: str) -> DictRow:
    row = connection.execute(_SQL[name]).fetchone()
    assert row is not None
    return row
