"""Numbered migrations, each applied once, in order, in a transaction of its own.

``migrations/NNNN_name.sql`` is never changed once released; a change is a new file.
"""

from __future__ import annotations

from importlib.resources import files

import psycopg

from playhead.core.errors import DatabaseUnsuitable
from playhead.postgres.database import queries, unavailable

_SQL = queries("migrator")
_ROLES_LACKING = "PH004"  # as the migration raises it
_OLDEST_PGVECTOR = (0, 8, 5)  # before it, HNSW inserts raced with vacuum (pgvector changelog)


def available() -> dict[str, str]:
    """Return the SQL of every migration by its number and name, in order."""
    folder = files("playhead.postgres").joinpath("migrations")
    return {
        entry.name.removesuffix(".sql"): entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    }


def migrate(url: str) -> list[str]:
    """Apply what the database has not seen yet; the names applied. Safe to run by several
    processes at once. Raises ``DatabaseUnsuitable`` where it cannot hold Playhead."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            check_pgvector(connection)
            with connection.transaction():
                connection.execute(_SQL["lock"])
                connection.execute(_SQL["create_table"])
                new = _pending(connection)
            if new:
                _check_pgvector_loads(connection)
            return [name for name in new if _apply(connection, name)]
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnsuitable(
            f"The database user may not do what a migration needs: {error}",
            remedy="Let the owner of the database run `playhead migrate` once.",
        ) from error
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def check_pgvector(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Return the version of pgvector that the server offers. Raises ``DatabaseUnsuitable``."""
    row = connection.execute(_SQL["pgvector_version"]).fetchone()
    if row is None or row[0] is None:
        raise DatabaseUnsuitable(
            "This Postgres has no pgvector.",
            remedy="Install pgvector 0.8.5 or newer on it, or unset DATABASE_URL to use the "
            "embedded server.",
        )
    version = str(row[0])
    if tuple(int(part) for part in version.split(".")) < _OLDEST_PGVECTOR:
        raise DatabaseUnsuitable(
            f"pgvector {version} is too old.", remedy="Upgrade it to 0.8.5 or newer."
        )
    return version


def _check_pgvector_loads(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Create the extension and roll back; a migration adds it. Raises ``DatabaseUnsuitable``."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(_SQL["add_pgvector"])
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnsuitable(
            "The database user may not add pgvector to its database.",
            remedy="Let an administrator run there: create extension vector;",
        ) from error


def _pending(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    applied = {row[0] for row in connection.execute(_SQL["applied"]).fetchall()}
    return [name for name in available() if name not in applied]


def _apply(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    """Apply a migration unless another process did meanwhile. Return True if it was applied."""
    try:
        with connection.transaction():
            connection.execute(_SQL["lock"])
            if name not in _pending(connection):
                return False
            connection.execute(available()[name].encode())
            connection.execute(_SQL["record"], {"name": name})
            return True
    except psycopg.DatabaseError as error:
        if error.sqlstate != _ROLES_LACKING:
            raise
        raise DatabaseUnsuitable(
            f"{error.diag.message_primary}.",
            remedy=f"Let an administrator run: {error.diag.message_hint}",
        ) from error
