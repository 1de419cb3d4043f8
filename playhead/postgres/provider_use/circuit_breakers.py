"""Breakers: providers that nobody asks any more until a person has seen to them.

Not here: what opens one (``playhead/providers/error_classification.py``), who looks at it before an attempt
(``pace.py``, ``spend.py``, in the statements they make anyway).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from playhead.postgres.database import Database, queries

_SQL = queries("circuit_breakers")


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """An open one. ``reason`` and ``remedy`` are for a person."""

    org_id: str
    provider: str
    reason: str
    remedy: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class ResumeResult:
    """``was_open``: there was a breaker to close. ``recordings``: that lay aside and wait again."""

    was_open: bool
    recordings: int


class CircuitBreakers:
    """One a provider and organisation. Threads may share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, org_id: str, provider: str, *, reason: str, remedy: str) -> bool:
        """Whether it was closed until now."""
        values = {"org_id": org_id, "provider": provider, "reason": reason, "remedy": remedy}
        return bool(self._database.as_role(org_id, "playhead_pipeline").run(_SQL["open"], **values))

    def list_open(self, org_id: str | None = None) -> list[OpenCircuit]:
        """Of all organisations where none is named."""
        read = self._database.read_as(org_id)
        return [OpenCircuit(**row) for row in read.rows(_SQL["opened"], org_id=org_id)]

    def resume(self, org_id: str, provider: str) -> ResumeResult:
        """Ask the provider again, at once, and take up all that the organisation laid aside: what
        another provider or the day's budget keeps is laid aside again when it is tried."""
        values = {"org_id": org_id, "provider": provider}
        with self._database.as_role(org_id, "playhead_pipeline").transaction() as connection:
            closed = connection.execute(_SQL["close"], values).rowcount
            connection.execute(_SQL["unhold"], values)
            freed = connection.execute(_SQL["unpark"], values).rowcount
        return ResumeResult(bool(closed), freed)
