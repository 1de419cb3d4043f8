"""Access to Playhead's own database: connections, transactions, and SQL by name."""

from __future__ import annotations

import os
import re
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from playhead.core.errors import DatabaseUnavailable

Connection = psycopg.Connection[DictRow]
Role = Literal["playhead_app", "playhead_pipeline"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
#: The application_name of all sessions of this process.
_PROCESS = f"playhead-{socket.gethostname()[:24]}-{os.getpid()}-{os.urandom(4).hex()}"
_POOL_SIZE = 4  # a worker does one thing at a time; the sensor and progress need a few more
POOL_TIMEOUT_SECONDS = 30.0  # an embedded server comes back from a crash in about 3 s


@cache
def queries(name: str) -> Mapping[str, bytes]:
    """Return the SQL of ``queries/<name>.sql`` by the names in its ``-- name:`` lines."""
    text = files("playhead.postgres").joinpath("queries", f"{name}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: sql.strip().encode() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


class Database:
    """A connection pool for one database. Rows are dictionaries.

    Lost connections are replaced at the next checkout. ``url`` is for connections beside the pool.
    """

    def __init__(self, url: str) -> None:
        self.url = f"{url}{'&' if '?' in url else '?'}application_name={_PROCESS}"
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            self.url,
            connection_class=psycopg.Connection[DictRow],
            kwargs={"row_factory": dict_row, "autocommit": True, "keepalives_idle": 30},
            configure=_configure,
            check=check,
            min_size=0,
            max_size=_POOL_SIZE,
            timeout=POOL_TIMEOUT_SECONDS,
            open=True,
        )

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yield a connection in autocommit mode. Raises ``DatabaseUnavailable``."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise unavailable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside a transaction: all is written or nothing."""
        with self.connection() as connection, connection.transaction():
            yield connection

    def as_role(self, org_id: str, role: Role) -> Organisation:
        """Return access to one organisation's rows with the rights of ``role``."""
        return Organisation(self, org_id, role)

    def read_as(self, org_id: str | None) -> Database | Organisation:
        """Return access to what one organisation may read.

        Without an organisation: what an operator or a worker may read, who see all of them.
        """
        return self if org_id is None else self.as_role(org_id, "playhead_app")

    def rows(self, sql: bytes, **values: Any) -> list[DictRow]:
        with self.connection() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: bytes, *, binary: bool = False, **values: Any) -> DictRow | None:
        """Return the first row, or None.

        ``binary`` transfers values in the server's own format instead of text, which takes half the
        time for many bytes.
        """
        with self.connection() as connection:
            return connection.execute(sql, values, binary=binary).fetchone()

    def run(self, sql: bytes, **values: Any) -> int:
        """Execute a statement and return the number of affected rows."""
        with self.connection() as connection:
            return connection.execute(sql, values).rowcount


@dataclass(frozen=True, slots=True)
class Organisation:
    """Access to one organisation's rows; row-level security shows no other rows.

    Role and organisation are set for the transaction and end with it, so a pooled connection never
    carries them to its next user.
    """

    database: Database
    org_id: str
    role: Role

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside a transaction, as ``Database.transaction`` does."""
        with (
            self.database.connection() as connection,
            org_transaction(connection, self.org_id, self.role),
        ):
            yield connection

    def rows(self, sql: bytes, **values: Any) -> list[DictRow]:
        with self.transaction() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: bytes, *, binary: bool = False, **values: Any) -> DictRow | None:
        """Return the first row, or None, as ``Database.row`` does."""
        with self.transaction() as connection:
            return connection.execute(sql, values, binary=binary).fetchone()

    def run(self, sql: bytes, **values: Any) -> int:
        """Run a statement and return the number of rows, as ``Database.run`` does."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount


def set_org(connection: Connection, org_id: str, role: Role) -> None:
    """Set role and organisation for the rest of the open transaction."""
    connection.execute(queries("database")["set_org"], {"org_id": org_id, "role": role})


@contextmanager
def org_transaction(connection: Connection, org_id: str, role: Role) -> Iterator[None]:
    """Open a transaction as ``role`` of this organisation. Session-level locks outlive it."""
    with connection.transaction():
        set_org(connection, org_id, role)
        yield


def _configure(connection: Connection) -> None:
    """Check for a transaction pooler and configure the connection accordingly.

    A pooler reveals itself by a backend process other than the one that answered first. Prepared
    statements of one connection would be missing on the next.
    """
    register_vector(connection)
    [row] = connection.execute(queries("database")["backend"]).fetchall()
    if row["pid"] != connection.info.backend_pid:
        connection.prepare_threshold = None


def socket_is_idle(descriptor: int) -> bool:
    """Return True if the idle socket has no pending data.

    A closed connection always has; 100 times cheaper than ``SELECT 1``.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def check(connection: Connection) -> None:
    """Raise ``OperationalError`` if the connection was lost. Cheap for an idle socket."""
    if not socket_is_idle(connection.fileno()):
        ConnectionPool.check_connection(connection)


def replace_unstorable_chars(value: Any) -> Any:
    """Return a JSON value without characters that Postgres cannot store.

    Each NUL and lone surrogate becomes one U+FFFD, so that positions stay valid.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {
            replace_unstorable_chars(key): replace_unstorable_chars(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [replace_unstorable_chars(inner) for inner in value]
    return value


def unavailable(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Postgres cannot be reached: {error}",
        remedy="Run `playhead doctor`. If DATABASE_URL is set, check that its server runs.",
    )
