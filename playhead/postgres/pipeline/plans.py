"""Plans: the difference between current and desired results, and decisions to rebuild them.

The desired recipe of each stage is passed in, by engine selection and by embedding set. The current
one is stored with each result; the difference is a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import DictRow

from playhead.core.errors import NotFound
from playhead.core.protocols.embedder import TEXTS_PER_CALL
from playhead.core.records import (
    STAGES,
    EngineSelection,
    Json,
    Kind,
    Price,
    Recipe,
    Recording,
    Stage,
)
from playhead.postgres.database import Database, queries
from playhead.postgres.pipeline.recordings import recording_of

_SQL = queries("plans")

#: A recording that failed this often under a recipe is left to a person, so that a plan can end.
MAX_TRIES = 3

#: missing: never created. stale: created by another recipe. outdated: created from inputs that
#: are no longer current. downstream: may change, since something before it will. failed: see its
#: dead letter. orphaned: its worker died. pinned: of another recipe, but a person pinned it.
Reason = Literal["missing", "stale", "outdated", "downstream", "failed", "orphaned", "pinned"]


@dataclass(frozen=True, slots=True)
class DesiredRecipe:
    """Today's recipe of a stage for recordings with one engine selection.

    ``set_id`` is 0 if sets share it. ``price`` is the engine's.
    """

    selection: EngineSelection
    set_id: int
    recipe: Recipe
    price: Price


@dataclass(frozen=True, slots=True)
class Scope:
    """The recordings and stages to look at; None means all."""

    org_id: str | None = None
    kind: Kind | None = None
    since: datetime | None = None
    stages: Sequence[Stage] = STAGES

    @property
    def values(self) -> dict[str, Any]:
        return {"org_id": self.org_id, "kind": self.kind, "since": self.since}


@dataclass(frozen=True, slots=True)
class Difference:
    """Recordings whose result of a stage differs from the desired one, for one reason.

    ``recipe`` is that of the existing result, ``wanted`` the hash of the desired one;
    ``audio_seconds`` is their total length.
    """

    stage: Stage
    set_id: int
    reason: Reason
    recordings: int
    audio_seconds: float
    wanted: str | None
    recipe: Json | None


@dataclass(frozen=True, slots=True)
class Averages:
    """Mean numbers of chunks and tokens per recent ready recording."""

    chunks: float
    tokens: float

    @property
    def embedder_calls(self) -> float:
        """Return the maximum of calls per recording; several recordings may share a call."""
        return max(1.0, self.chunks / TEXTS_PER_CALL)


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision to rebuild results.

    ``set_id``: the embedding set that is built, if any. ``batch``: calls may use the Batch API.
    """

    id: int
    stages: list[Stage]
    set_id: int | None
    org_id: str | None
    kind: Kind | None
    since: datetime | None
    author: str
    estimated_usd: float
    confirmed_usd: float | None
    batch: bool
    state: Literal["open", "done", "cancelled"]
    created_at: datetime
    ended_at: datetime | None


class Plans:
    """Finds differences between current and desired results, and stores plans to remove them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def differences(self, recipes: Sequence[DesiredRecipe], scope: Scope) -> list[Difference]:
        """Return all differences by stage, set and reason."""
        values = {"only": list(scope.stages), **scope.values}
        found = self._database.rows(_SQL["differences"], **_columns(recipes), **values)
        orphaned = self._database.rows(_SQL["orphaned"], **values)
        return [
            *(_difference(row) for row in found),
            *(
                Difference(r["stage"], 0, "orphaned", r["recordings"], 0.0, None, None)
                for r in orphaned
            ),
        ]

    def averages(self) -> Averages:
        row = self._database.row(_SQL["averages"])
        assert row is not None
        return Averages(**row)

    def seconds_per_recording(self) -> dict[tuple[Stage, str], float]:
        """Return the mean seconds of recent results, by stage and recipe hash."""
        rows = self._database.rows(_SQL["seconds_per_recording"])
        return {(row["stage"], row["recipe_hash"]): row["seconds"] for row in rows}

    def open(
        self,
        scope: Scope,
        *,
        author: str,
        estimated_usd: float,
        confirmed_usd: float | None,
        set_id: int | None = None,
        batch: bool = False,
    ) -> Plan | None:
        """Open a plan to rebuild the differences in ``scope``.

        Returns None if the set already has an open plan.
        """
        row = self._database.row(
            _SQL["open_plan"],
            stages=list(scope.stages),
            set_id=set_id,
            author=author,
            estimated_usd=estimated_usd,
            confirmed_usd=confirmed_usd,
            batch=batch,
            **scope.values,
        )
        return self.get(row["id"]) if row else None

    def all(self) -> list[Plan]:
        return [_plan(row) for row in self._database.rows(_SQL["plans"], id=None)]

    def under_way(self) -> list[Plan]:
        """Return the open plans, oldest first."""
        return [_plan(row) for row in self._database.rows(_SQL["open_plans"])]

    def get(self, identity: int) -> Plan:
        """Return a plan. Raises ``NotFound``."""
        row = self._database.row(_SQL["plans"], id=identity)
        if row is None:
            raise NotFound(
                f"No such plan: {identity}.", remedy="`playhead plan --list` lists them."
            )
        return _plan(row)

    def cancel(self, identity: int) -> bool:
        """Cancel a plan; finished results stay. Return True if it was open."""
        return bool(self._database.run(_SQL["end_plan"], id=identity, state="cancelled"))

    def batch(self, plan: Plan, recipes: Sequence[DesiredRecipe], limit: int) -> list[Recording]:
        """Return the next recordings of the plan.

        Marks the plan as done if none is left, none is parked and none is in progress.
        """
        if found := self._next(plan, recipes, limit):
            return found
        row = self._database.row(_SQL["in_progress"])
        assert row is not None
        if not row["at_work"]:
            self._database.run(_SQL["end_plan"], id=plan.id, state="done")
        return []

    def advance_cursor(self, plan: Plan, recordings: Sequence[Recording]) -> None:
        """Move the plan's cursor behind recordings for which runs were requested."""
        self._database.run(_SQL["advance_cursor"], id=plan.id, position=recordings[-1].id)

    def _next(self, plan: Plan, recipes: Sequence[DesiredRecipe], limit: int) -> list[Recording]:
        """Return recordings behind the cursor.

        At the end it starts once more from the beginning, for those that were in progress before.
        """
        values = {"plan": plan.id, "limit": limit, "tries": MAX_TRIES, **_columns(recipes)}
        found = self._database.rows(_SQL["batch"], **values)
        if not found:
            self._database.run(_SQL["advance_cursor"], id=plan.id, position=None)
            found = self._database.rows(_SQL["batch"], **values)
        if not found and plan.set_id is not None:
            found = self._database.rows(_SQL["missing_batch"], set_id=plan.set_id, **values)
        return [recording_of(row) for row in found]


def _columns(recipes: Sequence[DesiredRecipe]) -> dict[str, list[Any]]:
    return {
        "stages": [recipe.recipe.stage for recipe in recipes],
        "org_ids": [recipe.selection.org_id for recipe in recipes],
        "kinds": [recipe.selection.kind for recipe in recipes],
        "transcribers": [recipe.selection.transcriber for recipe in recipes],
        "writers": [recipe.selection.writer for recipe in recipes],
        "sets": [recipe.set_id for recipe in recipes],
        "recipes": [recipe.recipe.hash for recipe in recipes],
    }


def _difference(row: DictRow) -> Difference:
    return Difference(
        stage=row["stage"],
        set_id=row["set_id"],
        reason=row["reason"],
        recordings=row["recordings"],
        audio_seconds=float(row["audio_seconds"]),
        wanted=row["wanted"],
        recipe=row["recipe"],
    )


def _plan(row: DictRow) -> Plan:
    money = {"estimated_usd": float(row["estimated_usd"])}
    if row["confirmed_usd"] is not None:
        money["confirmed_usd"] = float(row["confirmed_usd"])
    return Plan(**row | money)
