"""The indexes of vectors: one for each organisation of more vectors than are quickly compared.

Built beside everything else, without making a search or a write wait; dropped when the organisation
has become small; built anew when much of it is empty. What has none is searched exactly, so whoever
is late here makes searches slow and never wrong. Not here: when (``pipeline_assets/assets/vector_indexes.py``,
``model_change.py``), how they are asked (``nearest`` in the migrations).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from playhead.postgres.database import Connection, Database, queries
from playhead.postgres.search.embedding_sets import EmbeddingSet

_SQL = queries("vector_indexes")
_POLL_INTERVAL_SECONDS = 0.5

Action = Literal["build", "rebuild", "drop"]


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """One organisation's, of one set: what there is and what is to be done about it. ``bytes``:
    None where there is none. ``valid``: whether it is asked."""

    set_id: int
    dimensions: int
    org_id: str
    name: str
    bytes: int | None
    valid: bool | None
    action: Action | None


class VectorIndexes:
    """All sets' and organisations'."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def index_states(self, one: EmbeddingSet | None = None) -> list[VectorIndex]:
        """What there is and what there should be, of this set or of all that are kept."""
        with self._database.connection() as connection:
            return _index_states(connection, one.id if one else None)

    def maintain(self, one: EmbeddingSet | None = None) -> list[VectorIndex]:
        """Do what is due; the indexes that it was due for. Whoever comes while another is at it
        waits. 890,000 vectors of 384 dimensions take ten minutes on 2 cores."""
        with self._database.connection() as connection, _exclusive(connection):
            for row in connection.execute(_SQL["broken"]).fetchall():
                connection.execute(_statement("drop", index=sql.Identifier(row["name"])))
            due = [
                index
                for index in _index_states(connection, one.id if one else None)
                if index.action
            ]
            for index in due:
                _do(connection, index)
            return due


def _index_states(connection: Connection, set_id: int | None) -> list[VectorIndex]:
    rows = connection.execute(_SQL["standing"], {"set_id": set_id}).fetchall()
    return [VectorIndex(**row) for row in rows]


def _do(connection: Connection, index: VectorIndex) -> None:
    assert index.action is not None
    table = sql.Identifier(f"embeddings_set_{index.set_id}")
    statement = _statement(
        index.action,
        index=sql.Identifier(index.name),
        table=table,
        dimensions=sql.Literal(index.dimensions),
        org=sql.Literal(index.org_id),
    )
    values = {"set_id": index.set_id, "org_id": index.org_id, "dimensions": index.dimensions}
    connection.execute(_SQL["memory"], values)
    try:
        connection.execute(statement)
    finally:
        connection.execute(_SQL["usual_memory"])
    # Of tables it knows nothing about the planner uses no index: a search of 4,800 passages took
    # 150 ms and not 17.
    connection.execute(_statement("analyze", table=table))


def _statement(name: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(_SQL[name].decode()).format(**parts)


@contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    """Asked for again and again: to wait inside the server would hold up the very index that is
    waited for, since it waits for all transactions before it."""
    while not connection.execute(_SQL["try_lock"]).fetchall()[0]["mine"]:
        time.sleep(_POLL_INTERVAL_SECONDS)
    try:
        yield
    finally:
        connection.execute(_SQL["unlock"])
