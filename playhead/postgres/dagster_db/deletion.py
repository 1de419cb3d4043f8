"""Deletes what Dagster's database holds of a recording.

That is events with its title and words, check results, runs, log lines, and its partition key in
texts that it shares with other recordings. Dagster has no call that deletes a partition with its
history, so this is SQL on the tables of the pinned version; a test goes through all of them. A
trigger refuses events that a late worker still reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from playhead.postgres.database import Connection, queries, unavailable
from playhead.postgres.deletion.residue_scan import written_forms

_SQL = queries("dagster_deletion")

#: Stands for a forgotten recording where a text tells of others, too.
NIL_UUID = "00000000-0000-0000-0000-000000000000"
_REPLACEMENT = "forgotten"


class DagsterDeletion:
    """Deletes recordings from Dagster's database at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def block_new_events(self, ids: Sequence[str]) -> None:
        """Refuse all further events about these recordings.

        Waits for transactions that are writing one at this moment.
        """
        with self._connection() as connection:
            connection.execute(_SQL["guard"])
            connection.execute(_SQL["bury"], {"ids": list(ids)})
            with connection.transaction():
                connection.execute(_SQL["wait_for_writers"])

    def own_runs(self, ids: Sequence[str]) -> list[str]:
        """Return the finished runs that were about these recordings alone."""
        with self._connection() as connection:
            rows = connection.execute(_SQL["own_runs"], {"ids": list(ids)}).fetchall()
        return [row["run_id"] for row in rows]

    def delete(self, ids: Sequence[str], words: Sequence[str]) -> None:
        """Delete events, check results and log lines of these recordings.

        Texts shared with other recordings lose their ids, and ``words`` where they name files.
        """
        with self._connection() as connection, connection.transaction():
            for identity in ids:
                for name in ("move_range_starts", "move_range_ends"):
                    connection.execute(_SQL[name], {"id": identity})
            values = {"ids": list(ids)}
            for name in ("forget_tags", "forget_events", "forget_checks", "last_materialisations"):
                connection.execute(_SQL[name], values)
            for row in connection.execute(_SQL["shared"]).fetchall():
                _replace(connection, row, ids, NIL_UUID)
                if row["words"]:
                    _replace(connection, row, written_forms(words), _REPLACEMENT)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with psycopg.connect(self._url, autocommit=True, row_factory=dict_row) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise unavailable(error) from error


def _replace(connection: Connection, text: DictRow, old: Sequence[str], new: str) -> None:
    statement = sql.SQL(_SQL["replace"].decode()).format(
        table=sql.Identifier(text["table"]), column=sql.Identifier(text["column"])
    )
    for run in old:
        connection.execute(statement, {"old": run, "new": new})
