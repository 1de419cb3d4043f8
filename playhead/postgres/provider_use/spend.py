"""Money: every attempt at a provider is a row, reserved before it is made and settled after.

The reservation and the look at the day's budget are one statement under one lock, so that
workers together never go over it; that of a worker that died lapses by itself. Not here: what a
request costs (the adapter's price), pace (``pace.py``).
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

#: Longer than any request takes (the client's own limit is 10 minutes). What is settled later
#: still counts.
RESERVATION_TTL_SECONDS = 900.0

Grouping = Literal["day", "model", "stage", "recording", "organisation"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

_SQL = queries("spend")


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """An attempt that is about to be made, of the request ``call_id``, and its price at most."""

    call_id: uuid.UUID
    provider: str
    model: str
    endpoint: Endpoint
    at_most_usd: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """``attempt_id``, or why not: ``stopped`` (the breaker is open), ``held`` (all keep away for a
    while) or ``spent``, ``until`` the next day."""

    attempt_id: int | None
    refusal: Literal["stopped", "held", "spent"] | None
    until: datetime | None
    reason: str | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended. What a failed one used is unknown, unless its reply said."""

    cost_usd: float = 0.0
    used: Usage = NO_USAGE
    http_status: int | None = None
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class SpendRow:
    """``what``: a day, a model, a stage, an organisation or a recording's id; "" for what was for
    no recording, or for one that is forgotten. ``failed``: with those whose worker died. US
    dollars."""

    what: str
    attempts: int
    failed: int
    input_tokens: int
    output_tokens: int
    audio_seconds: float
    cost_usd: float


class Spend:
    """The books. Threads may share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(
        self, errand: CallContext, intended: ReservationRequest, budget_usd: float | None
    ) -> Reservation:
        """Reserve the money for one attempt. Raises ``Forgotten`` where a recording it is for is
        no more."""
        shares = _shares(errand.recordings)
        try:
            row = self._database.as_role(errand.org_id, "playhead_pipeline").row(
                _SQL["begin"],
                org_id=errand.org_id,
                purpose=errand.purpose,
                recordings=[uuid.UUID(one) for one in shares],
                shares=list(shares.values()),
                budget_usd=budget_usd,
                lapses_after=RESERVATION_TTL_SECONDS,
                **asdict(intended),
            )
        except psycopg.errors.ForeignKeyViolation:
            raise RecordingDeleted from None
        assert row is not None
        return Reservation(**row)

    def settle(self, org_id: str, attempt_id: int, ended: Settlement) -> None:
        """What the attempt came to, in place of what was reserved."""
        self._database.as_role(org_id, "playhead_pipeline").run(
            _SQL["settle"],
            id=attempt_id,
            state="failed" if ended.error_class else "done",
            cost_usd=ended.cost_usd,
            http_status=ended.http_status,
            error_class=ended.error_class,
            **asdict(ended.used),
        )

    def spent_today(self, org_id: str) -> float:
        """US dollars since midnight UTC, without what is reserved."""
        read = self._database.as_role(org_id, "playhead_app")
        row = read.row(_SQL["spent_today"], org_id=org_id)
        assert row is not None
        return float(row["spent_usd"])

    def sums(self, by: Grouping, *, org_id: str | None, since: datetime | None) -> list[SpendRow]:
        """Of all organisations where none is named."""
        name = "spent_by_recording" if by == "recording" else "spent_by"
        read = self._database.read_as(org_id)
        rows = read.rows(_SQL[name], by=by, org_id=org_id, since=since)
        return [SpendRow(**row) for row in rows]


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Of one whole; equal where all weights are nothing."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 1 / len(weights)) if weights else {}
    return {identity: weight / whole for identity, weight in weights.items()}
