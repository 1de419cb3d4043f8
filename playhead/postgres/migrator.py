"""Creates the schema in an empty database, and applies migrations to an older one.

``schema/`` holds today's schema, a file per area; ``migrations/NNNN_name.sql`` leads there from an
older release, each applied once, in order, in a transaction of its own. A released migration is
never changed; every change is made in both places, and a test compares the results.
"""

from __future__ import annotations

from importlib.resources import files

import psycopg

from playhead.core.errors import DatabaseUnsuitable
from playhead.postgres.database import queries, unavailable

SCHEMA = "schema"  # stands for all files of ``schema/`` in the list of what was applied

_SQL = queries("migrator")
_ROLES_MISSING = "PH004"  # raised by schema/01_roles.sql
_OLDEST_PGVECTOR = (0, 8, 5)  # before it, HNSW inserts raced with vacuum (pgvector changelog)
_UNRELEASED = "0001_spine"  # the first migration of databases from before the first release


def available() -> dict[str, str]:
    """Return the SQL of every migration by its number and name, in order."""
    return _sql_files("migrations")


def schema_sql() -> str:
    """Return the SQL that creates today's schema in an empty database."""
    return "\n".join(_sql_files("schema").values())


def _sql_files(folder: str) -> dict[str, str]:
    entries = files("playhead.postgres").joinpath(folder).iterdir()
    return {
        entry.name.removesuffix(".sql"): entry.read_text("utf-8")
        for entry in sorted(entries, key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    }


def migrate(url: str) -> list[str]:
    """Update the database to today's schema. Returns the names of what was applied.

    Safe to run by several processes at the same time. Raises ``DatabaseUnsuitable`` if the database
    cannot hold Playhead, or was created before the first release.
    """
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            check_pgvector(connection)
            with connection.transaction():
                connection.execute(_SQL["lock"])
                connection.execute(_SQL["create_table"])
                applied = _applied(connection)
                _require_released(applied)
            if not applied:
                _check_pgvector_loads(connection)
                return [SCHEMA] if _create(connection) else []
            return [name for name in available() if _apply(connection, name)]
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnsuitable(
            f"The database user lacks a permission that a migration needs: {error}",
            remedy="Ask the owner of the database to run `playhead migrate` once.",
        ) from error
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def check_pgvector(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Return the version of pgvector that the server offers. Raises ``DatabaseUnsuitable``."""
    row = connection.execute(_SQL["pgvector_version"]).fetchone()
    if row is None or row[0] is None:
        raise DatabaseUnsuitable(
            "This Postgres server has no pgvector.",
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
            remedy="Ask an administrator to run there: create extension vector;",
        ) from error


def _applied(connection: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    return {str(row[0]) for row in connection.execute(_SQL["applied"]).fetchall()}


def _require_released(applied: set[str]) -> None:
    if _UNRELEASED in applied:
        raise DatabaseUnsuitable(
            "This database was created by a version of Playhead from before its first release.",
            remedy="With that version, export what people corrected (playhead transcript RECORDING "
            "--as json). Then start with a new PLAYHEAD_HOME (or DATABASE_URL), add the files of "
            "the old home's media folder again, and apply the corrections (playhead correct).",
        )


def _create(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Create the schema unless another process did meanwhile. Return True if it was created."""
    try:
        with connection.transaction():
            connection.execute(_SQL["lock"])
            if _applied(connection):
                return False
            connection.execute(schema_sql().encode())
            for name in (SCHEMA, *available()):
                connection.execute(_SQL["record"], {"name": name})
            return True
    except psycopg.DatabaseError as error:
        if error.sqlstate != _ROLES_MISSING:
            raise
        raise DatabaseUnsuitable(
            f"{error.diag.message_primary}.",
            remedy=f"Ask an administrator to run: {error.diag.message_hint}",
        ) from error


def _apply(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    """Apply a migration unless it was applied already. Return True if it was applied."""
    with connection.transaction():
        connection.execute(_SQL["lock"])
        if name in _applied(connection):
            return False
        connection.execute(available()[name].encode())
        connection.execute(_SQL["record"], {"name": name})
        return True
