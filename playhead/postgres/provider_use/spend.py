"""Spend log: every call attempt is a row, reserved before it starts and settled after.

The reservation and the check of the daily budget are one statement under one lock, so that workers
together never exceed it. The reservation of a worker that died expires by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, get_args

import psycopg

from playhead.core.call_context import CallContext
from playhead.core.errors import RecordingDeleted
from playhead.core.usage import NO_USAGE, Endpoint, Usage
from playhead.postgres.database import Database, queries

#: Longer than any request takes (the client's own limit is 10 minutes). A later settlement
#: still counts.
RESERVATION_TTL_SECONDS = 900.0

Grouping = Literal["day", "model", "stage", "recording", "organisation"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

_SQL = queries("spend")


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """An attempt to be made for the request ``call_id``, and its maximum price."""

    call_id: uuid.UUID
    provider: str
    model: str
    endpoint: Endpoint
    max_usd: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """The id of a reserved attempt, or the reason for a refusal.

    ``stopped``: the circuit breaker is open. ``held``: all workers pause. ``spent``: the budget is
    exceeded ``until`` the next day.
    """

    attempt_id: int | None
    refusal: Literal["stopped", "held", "spent"] | None
    until: datetime | None
    reason: str | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt. A failed one has unknown usage unless its response reports it."""

    cost_usd: float = 0.0
    used: Usage = NO_USAGE
    http_status: int | None = None
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class SpendRow:
    """A sum of the spend log in US dollars.

    ``what`` is a day, model, stage, organisation or recording id; "" for calls without a recording
    or with a deleted one. ``failed`` includes attempts whose worker died.
    """

    what: str
    attempts: int
    failed: int
    input_tokens: int
    output_tokens: int
    audio_seconds: float
    cost_usd: float


class Spend:
    """The spend log. Safe for several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(
        self, context: CallContext, request: ReservationRequest, budget_usd: float | None
    ) -> Reservation:
        """Reserve the cost of one attempt. Raises ``RecordingDeleted``."""
        shares = _shares(context.recordings)
        try:
            row = self._database.as_role(context.org_id, "playhead_pipeline").row(
                _SQL["reserve"],
                org_id=context.org_id,
                purpose=context.purpose,
                recordings=[uuid.UUID(share) for share in shares],
                shares=list(shares.values()),
                budget_usd=budget_usd,
                expires_after=RESERVATION_TTL_SECONDS,
                **asdict(request),
            )
        except psycopg.errors.ForeignKeyViolation:
            raise RecordingDeleted from None
        assert row is not None
        return Reservation(**row)

    def settle(self, org_id: str, attempt_id: int, settlement: Settlement) -> None:
        """Store the result of an attempt in place of what was reserved."""
        self._database.as_role(org_id, "playhead_pipeline").run(
            _SQL["settle"],
            id=attempt_id,
            state="failed" if settlement.error_class else "done",
            cost_usd=settlement.cost_usd,
            http_status=settlement.http_status,
            error_class=settlement.error_class,
            **asdict(settlement.used),
        )

    def spent_today(self, org_id: str) -> float:
        """Return US dollars since midnight UTC, without reservations."""
        read = self._database.as_role(org_id, "playhead_app")
        row = read.row(_SQL["spent_today"], org_id=org_id)
        assert row is not None
        return float(row["spent_usd"])

    def sums(self, by: Grouping, *, org_id: str | None, since: datetime | None) -> list[SpendRow]:
        """Return sums of the spend log, of all organisations if none is given."""
        name = "spent_by_recording" if by == "recording" else "spent_by"
        read = self._database.read_as(org_id)
        rows = read.rows(_SQL[name], by=by, org_id=org_id, since=since)
        return [SpendRow(**row) for row in rows]


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights scaled to a sum of 1; equal shares if all weights are zero."""
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 1 / len(weights)) if weights else {}
    return {identity: weight / total for identity, weight in weights.items()}
