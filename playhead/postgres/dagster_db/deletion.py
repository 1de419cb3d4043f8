"""Deletes what Dagster's database holds of a recording.

That is events with its title and words, check results, runs, log lines, and its partition key in
texts that it shares with other recordings. Dagster has no call that deletes a partition with its
history, so this is SQL on the tables of the pinned version; a test goes through all of them. A
trigger refuses events that a late worker still reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from playhead.postgres.database import Connection, queries, unavailable
from playhead.postgres.deletion.residue_scan import written_forms

_SQL = queries("dagster_deletion")

#: Replaces the id of a deleted recording in a text that also names others.
NIL_UUID = "00000000-0000-0000-0000-000000000000"
_REPLACEMENT = "forgotten"


class DagsterDeletion:
    """Deletes recordings from Dagster's database at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def block_new_events(self, hashes: Mapping[str, str]) -> None:
        """Refuse all further events about these recordings.

        ``hashes``: the sha-256 of each partition key, by recording id.

        Waits for transactions that are writing one at this moment.
        """
        values = {"ids": list(hashes), "hashes": list(hashes.values())}
        with self._connection() as connection:
            connection.execute(_SQL["block_new_events"])
            connection.execute(_SQL["add_tombstones"], values)
            with connection.transaction():
                connection.execute(_SQL["wait_for_writers"])

    def keys_of(self, ids: Sequence[str]) -> list[str]:
        """Return the partition keys that are left in Dagster's tables of blocked recordings."""
        with self._connection() as connection:
            rows = connection.execute(_SQL["keys"], {"ids": list(ids)}).fetchall()
        return [row["key"] for row in rows]

    def own_runs(self, names: Sequence[str]) -> list[str]:
        """Return the finished runs that were about these recordings alone.

        ``names``: their ids and partition keys.
        """
        with self._connection() as connection:
            rows = connection.execute(_SQL["own_runs"], {"names": list(names)}).fetchall()
        return [row["run_id"] for row in rows]

    def delete(self, names: Sequence[str], words: Sequence[str]) -> None:
        """Delete events, check results and log lines of these recordings.

        ``names``: their ids and partition keys, which texts shared with other recordings lose, as
        they lose ``words`` where they name files.
        """
        with self._connection() as connection, connection.transaction():
            for name in names:
                for statement in ("move_range_starts", "move_range_ends"):
                    connection.execute(_SQL[statement], {"key": name})
            values = {"names": list(names)}
            for statement in ("delete_tags", "delete_events", "delete_checks"):
                connection.execute(_SQL[statement], values)
            connection.execute(_SQL["last_materialisations"], values)
            for row in connection.execute(_SQL["shared"]).fetchall():
                _replace(connection, row, names, NIL_UUID)
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
