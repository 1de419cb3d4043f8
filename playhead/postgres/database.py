"""One door to Playhead's own database: connections, transactions, SQL by name.

Here: how SQL is found and run. Not here: what it means (``ledger.py``, ``catalogue.py``,
``content.py``, ``search.py``), the schema (``migrations/``), the server (``server.py``).
"""

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
#: How the server knows all sessions of one process, and a person who it is.
_PROCESS = f"playhead-{socket.gethostname()[:24]}-{os.getpid()}-{os.urandom(4).hex()}"
_POOL_SIZE = 4  # a worker does one thing at a time; the sensor and progress need a few more
POOL_TIMEOUT_SECONDS = 30.0  # an embedded server comes back from a crash in about 3 s


@cache
def queries(room: str) -> Mapping[str, bytes]:
    """The SQL of ``queries/<room>.sql`` by the names its ``-- name:`` lines give."""
    text = files("playhead.postgres").joinpath("queries", f"{room}.sql").read_text("utf-8")
    _, *named = _NAME.split(text)
    return {name: sql.strip().encode() for name, sql in zip(named[::2], named[1::2], strict=True)}


class Database:
    """Pooled connections to one database. Rows come as dictionaries; lost connections are
    replaced when they are next asked for. ``url``: for connections beside the pool."""

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
        """A connection in autocommit mode. Raises ``DatabaseUnavailable``."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise unavailable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All that is written inside is kept together or not at all."""
        with self.connection() as connection, connection.transaction():
            yield connection

    def as_role(self, org_id: str, role: Role) -> Organisation:
        """The door to one organisation's rows, as ``role`` may use them."""
        return Organisation(self, org_id, role)

    def read_as(self, org_id: str | None) -> Database | Organisation:
        """What one organisation may read; where none is named, what an operator or a worker may,
        who look after all."""
        return self if org_id is None else self.as_role(org_id, "playhead_app")

    def rows(self, sql: bytes, **values: Any) -> list[DictRow]:
        with self.connection() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: bytes, *, binary: bool = False, **values: Any) -> DictRow | None:
        """The first row, or None. ``binary``: as the server has it, not as text, which takes
        half the time where there are many bytes."""
        with self.connection() as connection:
            return connection.execute(sql, values, binary=binary).fetchone()

    def run(self, sql: bytes, **values: Any) -> int:
        """Execute and say how many rows it touched."""
        with self.connection() as connection:
            return connection.execute(sql, values).rowcount


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation's rows: whatever is asked here, the database shows and takes no other's.

    Role and organisation are the transaction's and end with it, so a pooled connection carries
    neither to whoever has it next."""

    database: Database
    org_id: str
    role: Role

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As ``Database.transaction``."""
        with (
            self.database.connection() as connection,
            org_transaction(connection, self.org_id, self.role),
        ):
            yield connection

    def rows(self, sql: bytes, **values: Any) -> list[DictRow]:
        with self.transaction() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: bytes, *, binary: bool = False, **values: Any) -> DictRow | None:
        """As ``Database.row``."""
        with self.transaction() as connection:
            return connection.execute(sql, values, binary=binary).fetchone()

    def run(self, sql: bytes, **values: Any) -> int:
        """As ``Database.run``."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount


def set_org(connection: Connection, org_id: str, role: Role) -> None:
    """For the rest of the open transaction, be ``role`` at work for this organisation."""
    connection.execute(queries("database")["enter"], {"org_id": org_id, "role": role})


@contextmanager
def org_transaction(connection: Connection, org_id: str, role: Role) -> Iterator[None]:
    """A transaction that begins with ``enter``. Locks that are the session's outlive it."""
    with connection.transaction():
        set_org(connection, org_id, role)
        yield


def _configure(connection: Connection) -> None:
    """A pooler of transactions shows itself by a server process that is not the one that answered:
    what is prepared on one of its connections is not there on the next."""
    register_vector(connection)
    [row] = connection.execute(queries("database")["backend"]).fetchall()
    if row["pid"] != connection.info.backend_pid:
        connection.prepare_threshold = None


def socket_is_idle(descriptor: int) -> bool:
    """Whether nothing has come in on an idle connection. A server that ended it has said so, or
    closed it, so this tells as much as asking would, at a hundredth of the cost."""
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return not look.poll(0)


def check(connection: Connection) -> None:
    """Raises ``OperationalError`` where the connection was lost; asks only when its socket does not
    tell."""
    if not socket_is_idle(connection.fileno()):
        ConnectionPool.check_connection(connection)


def replace_unstorable_chars(value: Any) -> Any:
    """A JSON value with U+FFFD for each character that Postgres cannot hold, NUL and lone
    surrogates; one for one, so that positions stay."""
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
        remedy="See `playhead doctor`; with DATABASE_URL set, check that its server is up.",
    )
