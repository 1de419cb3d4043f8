"""The audit: what the ledger says is made, in bulk, for comparing it with what others believe.

Not here: making (``ledger.py``), what is compared and mended (``pipeline_assets``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playhead.core.records import Json, Stage
from playhead.postgres.database import Database, queries

_SQL = queries("result_audit")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result that readers see. ``inputs``: what it was made from, by name."""

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
    """Of every organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def created(self, stage: Stage) -> set[str]:
        """The ids of the recordings for which this stage is done."""
        return {str(row["id"]) for row in self._database.rows(_SQL["made"], stage=stage)}

    def results(self, ids: Sequence[str], stages: Sequence[Stage]) -> list[StoredResult]:
        """Of these recordings; the newest where a stage has several that are read."""
        rows = self._database.rows(_SQL["results"], ids=list(ids), stages=list(stages))
        return [StoredResult(**row | {"recording_id": str(row["recording_id"])}) for row in rows]
