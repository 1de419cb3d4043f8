"""What Dagster's database keeps of a recording: events with its title and words, verdicts of
checks, runs, log lines, its partition's id in texts that it shares with others.

Dagster has no call that forgets a partition, so this is SQL on the tables of its pinned version;
a test goes through them all. Here: removing that, and having the database itself refuse what a
late worker still tells. Not here: what Dagster's own calls do (``pipeline_assets/maintenance/delete_recording.py``).
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
    """``url``: of Dagster's database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def block_new_events(self, ids: Sequence[str]) -> None:
        """From now on nothing that anybody tells Dagster of these recordings is stored. Waits for
        those who are telling something in this moment."""
        with self._connection() as connection:
            connection.execute(_SQL["guard"])
            connection.execute(_SQL["bury"], {"ids": list(ids)})
            with connection.transaction():
                connection.execute(_SQL["wait_for_writers"])

    def own_runs(self, ids: Sequence[str]) -> list[str]:
        """Runs that were about these recordings alone, and that nobody works on."""
        with self._connection() as connection:
            rows = connection.execute(_SQL["own_runs"], {"ids": list(ids)}).fetchall()
        return [row["run_id"] for row in rows]

    def delete(self, ids: Sequence[str], words: Sequence[str]) -> None:
        """Events, verdicts and log lines of these recordings go; texts shared with others lose
        their ids, and ``words`` where files are named."""
        with self._connection() as connection, connection.transaction():
            for one in ids:
                for name in ("move_range_starts", "move_range_ends"):
                    connection.execute(_SQL[name], {"id": one})
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
    for one in old:
        connection.execute(statement, {"old": one, "new": new})
