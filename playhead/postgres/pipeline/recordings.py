"""Recordings: which exist, the status of each, and which are pending."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg.rows import DictRow

from playhead.core.errors import AmbiguousName, NotFound
from playhead.core.ids import parse_uuid
from playhead.core.records import STAGES, EngineSelection, Json, Recording, Stage
from playhead.postgres.database import Database, Organisation, queries

MIN_PREFIX_CHARACTERS = 4  # as in git
MAX_CANDIDATES = 10  # listed for an ambiguous prefix

_SQL = queries("recordings")


def new_recording_id() -> str:
    """Return a UUID version 7 (RFC 9562, 5.7).

    Milliseconds come first, so ids sort by age. It is opaque, so a hostile file name never becomes
    a key.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a recording, from the view ``recording_status``.

    ``percent`` is of the whole way from upload to ready; ``error`` has stage, class, message,
    remedy and attempts; an ``archived`` recording is stored and searched, but no longer processed.
    """

    id: str
    partition_key: str
    title: str
    kind: str
    status: str
    percent: int
    detail: str
    duration_seconds: float | None
    language: str | None
    error: Json | None
    live: bool
    archived: bool


@dataclass(frozen=True, slots=True)
class BacklogRow:
    """The number of recordings that are pending at a stage, and the age of the oldest."""

    stage: Stage
    recordings: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The reason why a recording stopped. ``id`` is the recording's."""

    id: str
    org_id: str
    stage: Stage
    error_class: str
    message: str
    remedy: str
    attempts: int


class Recordings:
    """Stores recordings of each organisation.

    For workers and sensors, which serve all organisations: what is pending, in progress or failed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, recording: Recording) -> Recording:
        """Register a recording, or return the one with the same bytes in its organisation."""
        with self._writing(recording.org_id).transaction() as connection:
            connection.execute(_SQL["add_organisation"], {"org_id": recording.org_id})
            while True:
                if connection.execute(_SQL["add_recording"], asdict(recording)).fetchone():
                    return recording
                key = {"org_id": recording.org_id, "sha256": recording.sha256}
                if row := connection.execute(_SQL["same_bytes"], key).fetchone():
                    return recording_of(row)  # otherwise it was deleted between the two statements

    def with_bytes(self, org_id: str, sha256: str) -> Recording | None:
        row = self._reading(org_id).row(_SQL["same_bytes"], org_id=org_id, sha256=sha256)
        return recording_of(row) if row else None

    def get(self, org_id: str, identity: str) -> Recording:
        """Return a recording. Raises ``NotFound``, also for one of another organisation."""
        row = self._reading(org_id).row(_SQL["recordings"], ids=_uuids([identity]))
        if row is None:
            raise _not_found([identity])
        return recording_of(row)

    def find(self, org_id: str, name: str) -> Recording:
        """Return a recording by its id or partition key, or by a unique prefix of either.

        A prefix has at least ``MIN_PREFIX_CHARACTERS``. Raises ``NotFound``, also for another
        organisation's recording, and ``AmbiguousName`` if several recordings match.
        """
        name = name.lower()
        if parse_uuid(name):
            return self.get(org_id, name)
        rows = (
            self._reading(org_id).rows(
                _SQL["by_prefix"], org_id=org_id, prefix=name, limit=MAX_CANDIDATES + 1
            )
            if len(name) >= MIN_PREFIX_CHARACTERS
            else []
        )
        found = [recording_of(row) for row in rows]
        exact = [recording for recording in found if recording.partition_key == name]
        if len(found) > 1 and not exact:
            raise AmbiguousName(name, [f"{match.partition_key}  {match.title}" for match in found])
        if not found:
            raise _not_found([name])
        return exact[0] if exact else found[0]

    def get_many(self, ids: Sequence[str]) -> list[Recording]:
        """Return the recordings of ``ids`` that exist, oldest first, of any organisation."""
        return [
            recording_of(row) for row in self._database.rows(_SQL["recordings"], ids=_uuids(ids))
        ]

    def by_partition_keys(self, keys: Sequence[str]) -> list[Recording]:
        """Return the recordings with these partition keys, oldest first, of any organisation."""
        rows = self._database.rows(_SQL["by_partition_keys"], keys=list(keys))
        return [recording_of(row) for row in rows]

    def pending(
        self,
        *,
        limit: int,
        only: Sequence[str] | None = None,
        exclude: Iterable[str] = (),
        unrequested: bool = False,
    ) -> list[Recording]:
        """Return recordings to process, most urgent first.

        These are not ready, not failed, not parked, not archived and not claimed. With
        ``unrequested``, also without those that a run was requested for just now.
        """
        rows = self._database.rows(
            _SQL["pending"],
            limit=limit,
            only_ids=None if only is None else _uuids(only),
            except_ids=_uuids(exclude),
            unrequested=unrequested,
        )
        return [recording_of(row) for row in rows]

    def statuses(
        self, org_id: str | None, ids: Sequence[str] | None = None, *, archived: bool = True
    ) -> list[Status]:
        """Return the status of all recordings of the organisation, or of ``ids``.

        Without ``archived``, archived ones are left out. Without an organisation: of any, for
        workers. Raises ``NotFound``.
        """
        uuids = None if ids is None else _uuids(ids)
        read = self._database.read_as(org_id)
        rows = read.rows(_SQL["status"], org_id=org_id, ids=uuids, archived=archived)
        statuses = [_status(row) for row in rows]
        if ids is not None:
            _require_all(ids, [status.id for status in statuses])
        return statuses

    def under_way(self, org_id: str | None) -> list[Status]:
        """Return the status of the recordings that a living worker holds; see ``statuses``."""
        rows = self._database.read_as(org_id).rows(_SQL["under_way"], org_id=org_id)
        return [_status(row) for row in rows]

    def requeue(self, org_id: str, ids: Sequence[str]) -> list[tuple[str, Stage]]:
        """Requeue failed and parked recordings at the stage where they stopped.

        Returns (id, stage) of each that had stopped.
        """
        rows = self._writing(org_id).rows(_SQL["requeue"], org_id=org_id, ids=_uuids(ids))
        return [(str(row["id"]), row["stage"]) for row in rows]

    def engine_selections(self) -> list[EngineSelection]:
        """Return every combination of organisation, kind and chosen engines that occurs."""
        return [EngineSelection(**row) for row in self._database.rows(_SQL["engine_selections"])]

    def select_engine(self, recording: Recording, stage: Stage, engine: str) -> None:
        """Set the engine for the recording's transcript or document."""
        self._writing(recording.org_id).run(
            _SQL["select_engine"],
            org_id=recording.org_id,
            id=recording.id,
            stage=stage,
            engine=engine,
        )

    def dead_letters(self) -> list[DeadLetter]:
        """Return the open dead letters of every organisation, one per recording."""
        rows = self._database.rows(_SQL["dead_letters"])
        return [DeadLetter(**row | {"id": str(row["id"])}) for row in rows]

    def parked(self) -> set[str]:
        """Return the ids of parked recordings, of every organisation."""
        return {str(row["id"]) for row in self._database.rows(_SQL["parked"])}

    def mark_requested(self, ids: Sequence[str]) -> None:
        """Mark runs as requested, so that they are not requested again at once.

        The pause doubles with every request without progress, up to an hour.
        """
        self._database.run(_SQL["mark_requested"], ids=_uuids(ids))

    def backlog(self) -> list[BacklogRow]:
        return [
            BacklogRow(STAGES[row["stages_done"]], row["recordings"], row["oldest"])
            for row in self._database.rows(_SQL["backlog"])
        ]

    def stages_done(self, recording: Recording) -> int:
        """Return how many stages, from the first on, are current for the active set."""
        row = self._reading(recording.org_id).row(_SQL["stages_done"], id=recording.id)
        return row["stages_done"] if row else 0

    def overdue(self, ids: Sequence[str], seconds: float) -> set[str]:
        """Return those of the recordings that were added or last requested longer ago than this."""
        rows = self._database.rows(_SQL["overdue"], ids=_uuids(ids), seconds=seconds)
        return {str(row["id"]) for row in rows}

    def release(self, ids: Sequence[str]) -> None:
        """Allow new requests for these at once, since the worker that requested them is gone."""
        self._database.rows(_SQL["release"], ids=_uuids(ids))

    def ready(self) -> int:
        """Return the number of ready recordings."""
        row = self._database.row(_SQL["ready"])
        assert row is not None
        return int(row["ready"])

    def unarchived_keys(self) -> list[str]:
        """Return the keys that belong among Dagster's partitions, oldest recording first."""
        return [row["partition_key"] for row in self._database.rows(_SQL["unarchived_keys"])]

    def archive(self, org_id: str, ids: Sequence[str]) -> dict[str, str]:
        """Stop processing these. Every row stays and stays searchable.

        Returns id and title of each that was not archived before.
        """
        changed = self._writing(org_id).rows(_SQL["archive"], org_id=org_id, ids=_uuids(ids))
        return _titles(changed)

    def archive_before(self, org_id: str, before: datetime) -> dict[str, str]:
        """Archive all that were added before this time. Returns as ``archive`` does."""
        changed = self._writing(org_id).rows(_SQL["archive_before"], org_id=org_id, before=before)
        return _titles(changed)

    def unarchive(self, org_id: str, ids: Sequence[str]) -> dict[str, str]:
        """Unarchive recordings; one that is not ready is pending again.

        Returns id and title of each that was archived.
        """
        changed = self._writing(org_id).rows(_SQL["unarchive"], org_id=org_id, ids=_uuids(ids))
        return _titles(changed)

    def stored(self) -> dict[str, str]:
        """Return the suffix of every recording's stored file, by id."""
        return {str(row["id"]): row["suffix"] for row in self._database.rows(_SQL["stored"])}

    def _reading(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")

    def _writing(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_pipeline")


def recording_of(row: DictRow) -> Recording:
    return Recording(**row | {"id": str(row["id"])})


def _titles(rows: Iterable[DictRow]) -> dict[str, str]:
    return {str(row["id"]): row["title"] for row in rows}


def _status(row: DictRow) -> Status:
    return Status(**row | {"id": str(row["id"])})


def _uuids(ids: Iterable[str]) -> list[uuid.UUID]:
    parsed = {value: parse_uuid(value) for value in ids}
    if invalid := [value for value, identity in parsed.items() if identity is None]:
        raise _not_found(invalid)
    return [identity for identity in parsed.values() if identity is not None]


def _require_all(ids: Sequence[str], found: Sequence[str]) -> None:
    known = {uuid.UUID(value) for value in found}
    if missing := [value for value in ids if uuid.UUID(value) not in known]:
        raise _not_found(missing)


def _not_found(ids: Sequence[str]) -> NotFound:
    return NotFound(f"No such recording: {', '.join(ids)}.", remedy="`playhead list` lists them.")
