"""The pace at which a provider is asked: a bucket of requests and tokens a minute for each
organisation, shared by all workers on all machines, on the database's clock.

A turn is taken in one statement, and nobody holds a lock while waiting for it. Not here: money
(``spend.py``), who waits (``playhead/providers/limited_client.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from playhead.core.rate_limits import ProviderLimits
from playhead.postgres.database import Database, Organisation, queries

_SQL = queries("rate_limits")


@dataclass(frozen=True, slots=True)
class InitialLimits:
    """A minute's requests and tokens before the provider has said what its limits are."""

    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RateLimitGrant:
    """``taken``: to be used after ``wait_seconds``. Else it would come only at ``until``, or, with
    a ``reason``, not before a person has seen to the provider."""

    taken: bool
    wait_seconds: float | None
    until: datetime | None
    reason: str | None
    remedy: str | None


class RateLimiter:
    """Of one provider. Threads may share it."""

    def __init__(self, database: Database, provider: str, beginning: InitialLimits) -> None:
        self._database = database
        self._provider = provider
        self._beginning = beginning

    def acquire(self, org_id: str, tokens: int, *, patience: float) -> RateLimitGrant:
        """For a request of this many tokens; not taken where it is further off than ``patience``
        seconds."""
        row = self._within(org_id).row(
            _SQL["take_turn"],
            wanted=tokens,
            patience=patience,
            **asdict(self._beginning),
            **self._whose(org_id),
        )
        assert row is not None
        return RateLimitGrant(**row)

    def pause(self, org_id: str, seconds: float) -> datetime:
        """All workers keep away for so long, then begin one after the other; until when."""
        row = self._within(org_id).row(_SQL["hold"], seconds=seconds, **self._whose(org_id))
        assert row is not None, "a turn was taken before"
        until: datetime = row["until"]
        return until

    def update_limits(self, org_id: str, limits: ProviderLimits) -> None:
        """What the provider says of its limits counts from now on."""
        if limits.known:
            self._within(org_id).run(_SQL["heed"], **asdict(limits), **self._whose(org_id))

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_pipeline")

    def _whose(self, org_id: str) -> dict[str, Any]:
        return {"org_id": org_id, "provider": self._provider}
