"""Dagster's event log in our Postgres, with a run's events stored in batches.

A recording creates about thirty events. Stored one by one, each takes a transaction and half a
dozen statements, and together they cost more than the pipeline's own work
(docs/decisions/0005-warm-worker.md). Events that are lost when a worker is killed are reported by
``pipeline_assets/maintenance/missing_events.py``.

Why our own: Dagster's ``DAGSTER_EVENT_BATCH_SIZE`` covers too little in 1.13.27. It can be deleted
when Dagster batches asset events and step logs itself. Dagster's own ``has_table`` also leaks
connections (#34058, #34154).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import DynamicPartitionsTable, SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy.engine import Connection

#: Log messages of steps, which have no event type, are batched, too.
_BATCHABLE_EVENTS = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    }
)
_MAX_DELAY_SECONDS = 1.0  # what a kill can lose and how far the UI lags
_MAX_EVENTS = 200  # a larger batch is hardly cheaper per event
_KEYS_TTL_SECONDS = 30.0

#: Errors caused by a single event of a batch, in contrast to an unavailable database.
_UNSTORABLE = (sa.exc.DataError, sa.exc.IntegrityError, ValueError)

_LOG = logging.getLogger(__name__)


class _ThreadState(threading.local):
    """Connections that the current thread has open: a batch's transaction, and ordinary ones."""

    batch: Connection | None = None
    connections: int = 0


@dataclass(frozen=True, slots=True)
class _CachedKeys:
    """Cached partition keys in Dagster's order. ``last``: the row id of the last key."""

    read_at: float
    last: int
    keys: Sequence[str]


class BatchedEventLog(PostgresEventLogStorage):
    """An event log that buffers events and stores them in one transaction.

    The buffer is flushed when anything else is stored or read, when it is full, or after a second.
    So no reader in this process sees the log without the buffered events, and the event that ends a
    run is stored after all other events of the run.
    """

    def __init__(self, url: str, engine: sa.Engine) -> None:
        self._waiting: list[EventLogEntry] = []
        self._storing = threading.RLock()
        self._timer: threading.Timer | None = None
        self._thread = _ThreadState()
        self._tables: set[str] = set()
        self._keys: dict[str, _CachedKeys] = {}
        super().__init__(url)
        self._engine = engine

    def store_event(self, event: EventLogEntry) -> None:
        if event.dagster_event and event.dagster_event.event_type not in _BATCHABLE_EVENTS:
            super().store_event(event)
            return
        with self._storing:
            self._waiting.append(event)
            if len(self._waiting) >= _MAX_EVENTS:
                self.flush()
            elif self._timer is None:
                self._flush_later()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        for event in events:
            self.store_event(event)

    def flush(self) -> None:
        """Store the buffered events.

        If the database is unavailable they stay in the buffer, and the next use tries again.
        """
        with self._storing:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            events, self._waiting = self._waiting, []
            try:
                if events:
                    self._store_batch(events)
            except _UNSTORABLE:
                for event in events:
                    self._store_single(event)
            except Exception:
                self._waiting = events
                raise

    def dispose(self) -> None:
        self.flush()
        super().dispose()

    def has_table(self, table_name: str) -> bool:
        """Return True if the table exists; positive answers are cached.

        Dagster asks before every other statement.
        """
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return all partition keys, fetching only those added since the last call.

        Dagster calls this ten times per run, and reading a hundred thousand keys takes a quarter of
        a second. Deletions by other processes are noticed within 30 seconds.
        """
        known = self._keys.get(partitions_def_name)
        if known is None or time.monotonic() - known.read_at > _KEYS_TTL_SECONDS:
            known = _CachedKeys(time.monotonic(), -1, [])
        table = DynamicPartitionsTable.c
        query = (
            sa.select(table.id, table.partition)
            .where(table.partitions_def_name == partitions_def_name, table.id > known.last)
            .order_by(table.id)
        )
        with self.index_connection() as connection:
            added = connection.execute(query).all()
        if added:
            keys = [*known.keys, *(row.partition for row in added)]
            known = _CachedKeys(known.read_at, added[-1].id, keys)
        self._keys[partitions_def_name] = known
        return known.keys

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> AbstractSet[str]:
        """Return those of the keys that exist, with one query.

        Dagster asks for all keys, asset by asset, when the UI is opened after a new recording; its
        own implementation sends one query per thousand keys.
        """
        table = DynamicPartitionsTable.c
        query = sa.select(table.partition).where(
            table.partitions_def_name == partitions_def_name,
            table.partition == sa.any_(sa.literal(list(partition_keys), sa.ARRAY(sa.Text))),
        )
        with self.index_connection() as connection:
            return set(connection.execute(query).scalars())

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add partition keys and clear the cache.

        All keys are read again afterwards, because another process may have added some of them.
        """
        super().add_dynamic_partitions(partitions_def_name, partition_keys)
        self._keys.pop(partitions_def_name, None)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._keys.pop(partitions_def_name, None)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Yield the connection that every statement of this storage uses."""
        state = self._thread
        if state.batch is not None:
            yield state.batch
            return
        if not state.connections:  # with an open transaction it could deadlock with itself
            self.flush()
        state.connections += 1
        try:
            with super()._connect() as connection:
                yield connection
        finally:
            state.connections -= 1

    def _store_batch(self, events: Sequence[EventLogEntry]) -> None:
        table = SqlEventLogStorageTable
        with super()._connect() as connection:
            transaction = connection.execution_options(isolation_level="READ COMMITTED")
            with transaction.begin():
                self._thread.batch = transaction
                try:
                    stored = transaction.execute(
                        table.insert().returning(table.c.id, sort_by_parameter_order=True),
                        [self._event_to_row(event) for event in events],
                    )
                    self._store_details(transaction, events, [row.id for row in stored])
                finally:
                    self._thread.batch = None

    def _store_details(
        self, connection: Connection, events: Sequence[EventLogEntry], ids: Sequence[int]
    ) -> None:
        """Store what belongs to the events: tags, newest event per asset, check results."""
        numbered = list(zip(events, ids, strict=True))
        of_assets = [(e, i) for e, i in numbered if e.dagster_event_type in ASSET_EVENTS]
        self._store_asset_event_tags(
            connection, [event for event, _ in of_assets], [number for _, number in of_assets]
        )
        newest = {
            (str(event.get_dagster_event().asset_key), event.get_dagster_event().event_type): (
                event,
                number,
            )
            for event, number in of_assets
        }
        for _, (event, number) in sorted(newest.items()):  # a common order, so no deadlock
            self._store_asset_event(connection, event, number)
        for event, number in numbered:
            if event.dagster_event_type in ASSET_CHECK_EVENTS:
                self.store_asset_check_event(event, number)

    def _store_single(self, event: EventLogEntry) -> None:
        try:
            super().store_event(event)
        except _UNSTORABLE:
            _LOG.exception("An event of run %s cannot be stored", event.run_id)

    def _flush_later(self) -> None:
        self._timer = threading.Timer(_MAX_DELAY_SECONDS, self._flush_on_timer)
        self._timer.daemon = True
        self._timer.start()

    def _flush_on_timer(self) -> None:
        try:
            self.flush()
        except Exception:
            _LOG.exception("Events cannot be stored yet; the database is unavailable")
            with self._storing:
                self._flush_later()
