"""Prunes Dagster's history, which grows with every event and has no limit of its own.

Dagster can delete a run, but deletes the run's materializations with it, after which its recordings
look as if they had never been processed. So this is SQL on the tables of the pinned version; a test
goes through them. Each batch is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.rows import dict_row

from playhead.postgres.database import Connection, queries, unavailable

_SQL = queries("dagster_pruning")
_NO_RUN = [""]  # Dagster's run id of events without a run


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The numbers of deleted event rows, and the runs whose events were deleted.

    ``more``: there may be more to prune.
    """

    events: int
    runs: tuple[str, ...]
    more: bool


class DagsterPruning:
    """Prunes what ended earlier than ``before`` in Dagster's database at ``url``."""

    def __init__(self, url: str, before: datetime) -> None:
        self._url = url
        self._before = before.astimezone(UTC).replace(
            tzinfo=None
        )  # naive UTC, like Dagster's columns

    def prune_runs(self, limit: int) -> PruneResult:
        """Delete the events of the oldest ``limit`` runs.

        Kept are the newest materialization of each partition, what was observed and planned since,
        and the runs where the latter failed.
        """
        with self._transaction() as connection:
            found = connection.execute(
                _SQL["old_runs"], {"before": self._before, "limit": limit}
            ).fetchall()
            runs = [row["run_id"] for row in found]
            events = self._prune_events(connection, runs)
            pruned = connection.execute(_SQL["prune_runs"], {"runs": runs}).fetchall()
        return PruneResult(events, tuple(row["run_id"] for row in pruned), more=len(runs) == limit)

    def prune_checks(self, limit: int) -> PruneResult:
        """Delete at most ``limit`` check results that were replaced or never arrived."""
        with self._transaction() as connection:
            values = {"before": self._before, "limit": limit}
            rows = connection.execute(_SQL["prune_checks"], values).rowcount
        return PruneResult(rows, (), more=rows == limit)

    def prune_backfills(self) -> int:
        """Delete replaced events without a run, and ended backfills. Return their number."""
        with self._transaction() as connection:
            connection.execute(_SQL["prune_backfills"], {"before": self._before})
            return self._prune_events(connection, _NO_RUN)

    def _prune_events(self, connection: Connection, runs: list[str]) -> int:
        values = {"runs": runs, "before": self._before}
        row = connection.execute(_SQL["prune_events"], values).fetchone()
        assert row is not None
        return int(row["events"])

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with (
                psycopg.connect(self._url, autocommit=True, row_factory=dict_row) as connection,
                connection.transaction(),
            ):
                yield connection
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
