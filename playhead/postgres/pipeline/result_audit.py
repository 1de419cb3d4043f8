"""Bulk queries about stored results, to compare them with Dagster's events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playhead.core.records import Json, Stage
from playhead.postgres.database import Database, queries

_SQL = queries("result_audit")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A current result. ``inputs``: what it was produced from, by name."""

    recording_id: str
    title: str
    stage: Stage
    result_id: int
    output_hash: str
    run_id: str
    attempt: int
    inputs: Json
    code_version: str


class ResultAudit:
    """Audits the results of every organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def created(self, stage: Stage) -> set[str]:
        """Return the ids of the recordings for which this stage is done."""
        return {str(row["id"]) for row in self._database.rows(_SQL["made"], stage=stage)}

    def results(self, ids: Sequence[str], stages: Sequence[Stage]) -> list[StoredResult]:
        """Return the current results of these recordings, the newest if a stage has several."""
        rows = self._database.rows(_SQL["results"], ids=list(ids), stages=list(stages))
        return [StoredResult(**row | {"recording_id": str(row["recording_id"])}) for row in rows]
