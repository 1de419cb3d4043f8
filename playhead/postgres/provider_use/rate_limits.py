"""Rate limits: a bucket of requests and tokens per minute for each organisation and provider.

All workers on all machines share it, on the database's clock. A grant is taken in one statement,
and nobody holds a lock while waiting for it.
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
    """Requests and tokens per minute before the provider has stated its limits."""

    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RateLimitGrant:
    """The answer to a request for capacity.

    If ``taken``, use it after ``wait_seconds``. Otherwise it is available only ``until`` that time,
    or, with a ``reason``, not before a person has resumed the provider.
    """

    taken: bool
    wait_seconds: float | None
    until: datetime | None
    reason: str | None
    remedy: str | None


class RateLimiter:
    """The rate limits of one provider. Safe for several threads."""

    def __init__(self, database: Database, provider: str, initial_limits: InitialLimits) -> None:
        self._database = database
        self._provider = provider
        self._initial_limits = initial_limits

    def acquire(self, org_id: str, tokens: int, *, max_wait_seconds: float) -> RateLimitGrant:
        """Take capacity for a request of this many tokens.

        Nothing is taken if it is further away than ``max_wait_seconds``.
        """
        row = self._within(org_id).row(
            _SQL["acquire"],
            wanted=tokens,
            patience=max_wait_seconds,
            **asdict(self._initial_limits),
            **self._key(org_id),
        )
        assert row is not None
        return RateLimitGrant(**row)

    def pause(self, org_id: str, seconds: float) -> datetime:
        """Pause all workers for so many seconds; they resume one by one. Returns the end."""
        row = self._within(org_id).row(_SQL["pause"], seconds=seconds, **self._key(org_id))
        if row is None:  # only an acquired limit can be paused
            raise LookupError(f"No rate limit was acquired for {org_id!r} and {self._provider!r}.")
        until: datetime = row["until"]
        return until

    def update_limits(self, org_id: str, limits: ProviderLimits) -> None:
        """Adopt the limits from the provider's response headers."""
        if limits.known:
            self._within(org_id).run(_SQL["update_limits"], **asdict(limits), **self._key(org_id))

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_pipeline")

    def _key(self, org_id: str) -> dict[str, Any]:
        return {"org_id": org_id, "provider": self._provider}
