"""URLs of the two databases on one server: Playhead's own and Dagster's.

The server is the one that DATABASE_URL names, otherwise the embedded one, which is started if it
does not run.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from playhead.core.errors import DatabaseUnsuitable
from playhead.core.settings import Settings
from playhead.postgres.database import queries, unavailable
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.migrator import migrate

_SQL = queries("database_urls")
_EMBEDDED_NAME = "playhead"


def app_url(settings: Settings) -> str:
    """Return the URL of Playhead's own database, created and migrated.

    Raises ``DatabaseUnavailable`` or ``DatabaseUnsuitable``.
    """
    url = unmigrated_url(settings)
    migrate(url)
    return url


def unmigrated_url(settings: Settings) -> str:
    """Return the URL of Playhead's own database, created but not migrated."""
    return settings.database_url or _embedded(settings, _EMBEDDED_NAME)


def dagster_url(settings: Settings) -> str:
    """Return the URL of Dagster's database, created, for SQLAlchemy.

    It names psycopg2, since SQLAlchemy 2.1 takes a bare ``postgresql://`` for psycopg 3, which
    dagster-postgres does not support.
    """
    return urlunsplit(urlsplit(dagster_tables_url(settings))._replace(scheme="postgresql+psycopg2"))


def dagster_tables_url(settings: Settings) -> str:
    """Return the URL of Dagster's database for our own SQL."""
    if settings.database_url is None:
        return _embedded(settings, f"{_EMBEDDED_NAME}_dagster")
    name = urlsplit(settings.database_url).path.lstrip("/") + "_dagster"
    create_database(settings.database_url, name)
    return with_database(settings.database_url, name)


def embedded_server(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings.home / "postgres")


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def create_database(url: str, name: str) -> None:
    """Create the database ``name`` on the server of ``url`` unless it exists."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                _SQL["lock"]
            )  # two concurrent creations would collide on the template
            if connection.execute(_SQL["exists"], {"name": name}).fetchone():
                return
            create = sql.SQL("create database {}").format(sql.Identifier(name))
            connection.execute(create)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnsuitable(
            f"The database user may not create the database {name}, which stores Dagster's runs.",
            remedy=f'Ask an administrator to run: create database "{name}" owner …',
        ) from error
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def _embedded(settings: Settings, name: str) -> str:
    server = embedded_server(settings)
    server.attach()
    create_database(server.url("postgres"), name)
    return server.url(name)
