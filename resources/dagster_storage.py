"""Dagster's own storage, named in ``dagster.yaml``.

Runs and events are in the second database of our server, logs in our home folder. ``dagster dev``
therefore works in a fresh clone without settings, and two homes do not affect each other.

Why our own: dagster-postgres opens and closes a connection for nearly every statement, and its pool
cannot be configured. Dagster #33935 and #33936 would make it configurable; when that is released,
``_create_pooled_engine`` can be deleted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError

from playhead.core.errors import DatabaseUnavailable
from playhead.core.settings import load_settings
from playhead.postgres.database import socket_is_idle
from playhead.postgres.database_urls import dagster_url
from resources.dagster_event_log import BatchedEventLog

Config = Mapping[str, Any]

#: Dagster's own environment variable, off by default and not available in its configuration:
#: without it a backfill fails permanently if the daemon checks it while the code server restarts.
_RETRY_BACKFILLS = "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR"

#: Errors of our database and Dagster's while the server is unavailable.
DATABASE_ERRORS = (DatabaseUnavailable, DagsterPostgresException, DBAPIError)


class PlayheadStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage on pooled connections that are checked before use.

    Dagster's own storage opens one connection per query outside the webserver, about 200 per run.
    The pool has to be set from outside because Dagster has no option for it. Without the check, a
    restart of Postgres fails a run whose steps all succeeded
    (docs/decisions/0003-dagster-storage.md).
    """

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        os.environ.setdefault(_RETRY_BACKFILLS, "1")
        super().__init__(url, inst_data=inst_data)
        pool = _create_pooled_engine(url)
        self._run_storage._engine = self._schedule_storage._engine = pool
        self._event_log_storage = BatchedEventLog(url, pool)

    @classmethod
    def config_type(cls) -> Config:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, _config: Config
    ) -> PlayheadStorage:
        return cls(dagster_url(load_settings()), inst_data)


class PlayheadLogs(LocalComputeLogManager):
    """The compute log manager, with its files in our home folder."""

    @classmethod
    def config_type(cls) -> Config:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, _config: Config
    ) -> PlayheadLogs:
        folder = load_settings().home / "dagster" / "logs"
        return cls(base_dir=str(folder), inst_data=inst_data)


class PlayheadArtifacts(LocalArtifactStorage):
    """Dagster's local artifact storage, in our home folder."""

    @classmethod
    def config_type(cls) -> Config:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, _config: Config
    ) -> PlayheadArtifacts:
        return cls(base_dir=str(load_settings().home / "dagster"), inst_data=inst_data)


def open_instance() -> DagsterInstance:
    """Return the Dagster instance, configured by ``$DAGSTER_HOME`` or the project.

    Without that variable it uses the project's own ``dagster.yaml``, as ``dagster dev`` does. The
    output of steps stays on this process's console: copying it takes four more processes per run, a
    fifth of the CPU time of a single recording.
    """
    project = Path(__file__).resolve().parent.parent
    folder = os.environ.get("DAGSTER_HOME") or str(project)
    logs = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    return DagsterInstance.from_ref(InstanceRef.from_dir(folder, overrides={"compute_logs": logs}))


def _create_pooled_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"keepalives_idle": 30},
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=20,
        pool_recycle=3600,
    )

    @event.listens_for(engine, "checkout")
    def check(connection: Any, record: object, _fairy: object) -> None:
        """Check the connection before use.

        Works like ``pool_pre_ping``, but sends no query if the socket is idle.
        """
        if socket_is_idle(connection.fileno()):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    return engine
