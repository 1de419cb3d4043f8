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

    partition_key: str
    title: str
    stage: Stage
    result_id: int
    output_hash: str
    run_id: str
    attempt: int
    inputs: Json
    recipe: Json


class ResultAudit:
    """Audits the results of every organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def created(self, stage: Stage) -> set[str]:
        """Return the partition keys of the recordings for which this stage is done."""
        return {row["partition_key"] for row in self._database.rows(_SQL["created"], stage=stage)}

    def results(self, keys: Sequence[str], stages: Sequence[Stage]) -> list[StoredResult]:
        """Return the current results by partition key, the newest if a stage has several."""
        rows = self._database.rows(_SQL["results"], keys=list(keys), stages=list(stages))
        return [StoredResult(**row) for row in rows]
