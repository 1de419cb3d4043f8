"""Circuit breakers: providers that are not called until a person has resumed them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from playhead.postgres.database import Database, queries

_SQL = queries("circuit_breakers")


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """An open circuit breaker. ``reason`` and ``remedy`` are for a person."""

    org_id: str
    provider: str
    reason: str
    remedy: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class ResumeResult:
    """The effect of resuming a provider.

    ``was_open``: its breaker was open. ``recordings``: parked ones that are pending again.
    """

    was_open: bool
    recordings: int


class CircuitBreakers:
    """One circuit breaker per provider and organisation. Safe for several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, org_id: str, provider: str, *, reason: str, remedy: str) -> bool:
        """Open the breaker. Returns True if it was closed."""
        values = {"org_id": org_id, "provider": provider, "reason": reason, "remedy": remedy}
        return bool(self._database.as_role(org_id, "playhead_pipeline").run(_SQL["open"], **values))

    def list_open(self, org_id: str | None = None) -> list[OpenCircuit]:
        """Return the open breakers, of all organisations if none is given."""
        read = self._database.read_as(org_id)
        return [OpenCircuit(**row) for row in read.rows(_SQL["list_open"], org_id=org_id)]

    def resume(self, org_id: str, provider: str) -> ResumeResult:
        """Close the circuit breaker and requeue all parked recordings of the organisation.

        Those that wait for another provider or for the daily budget are parked again when they are
        tried.
        """
        values = {"org_id": org_id, "provider": provider}
        with self._database.as_role(org_id, "playhead_pipeline").transaction() as connection:
            closed = connection.execute(_SQL["close"], values).rowcount
            connection.execute(_SQL["clear_pause"], values)
            freed = connection.execute(_SQL["unpark"], values).rowcount
        return ResumeResult(bool(closed), freed)
