"""Provider client with shared rate limits, budgets, retries and a cost record per attempt.

One attempt: acquire the rate limit and wait for it, check the circuit breaker and the daily budget,
send the request, record its usage, and classify the error if there is one.

Why our own: stamina and tenacity would replace only the pause between attempts. pyrate-limiter has
a bucket in Postgres, but learns no limits from response headers and cannot pause all workers.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from playhead.core.call_context import INTERACTIVE, CallContext, current_call_context
from playhead.core.errors import (
    BudgetExceeded,
    CircuitOpen,
    DatabaseUnavailable,
    InvalidProviderResponse,
    Parked,
    RateLimited,
)
from playhead.core.usage import NO_USAGE, Usage
from playhead.postgres.database import Database
from playhead.postgres.provider_use.circuit_breakers import CircuitBreakers
from playhead.postgres.provider_use.quarantine import Quarantine
from playhead.postgres.provider_use.rate_limits import InitialLimits, RateLimiter, RateLimitGrant
from playhead.postgres.provider_use.spend import Reservation, ReservationRequest, Settlement, Spend
from playhead.providers.client_protocol import ProviderCall, Reply
from playhead.providers.error_classification import RequestInfo, RetryDecision, classify_error
from playhead.providers.rate_limit_headers import parse_limits

MAX_ATTEMPTS = 5
#: Maximum waiting time per call, for rate limits and retries; longer waits park the recording.
PROVIDER_RETRY_BUDGET_SECONDS = 60.0
_INTERACTIVE_RETRY_BUDGET_SECONDS = 3.0  # a local answer is better than a late one
_FIRST_PAUSE_SECONDS = 1.0  # maximum of the first pause; doubles per attempt
_MAX_PAUSE_SECONDS = 20.0
#: Pause for all workers after repeated 429s; above the retry budget, so all of them park.
_REPEATED_429_SECONDS = 2 * PROVIDER_RETRY_BUDGET_SECONDS

#: Returns the cost of a model's usage, in US dollars.
PriceOf = Callable[[str, Usage], float]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProviderState:
    """State about one provider that all workers of an installation share."""

    rate_limiter: RateLimiter
    spend: Spend
    circuit_breakers: CircuitBreakers
    quarantine: Quarantine

    @classmethod
    def of(cls, database: Database, provider: str, initial_limits: InitialLimits) -> ProviderState:
        """Return the state that is stored in this database."""
        rate_limiter = RateLimiter(database, provider, initial_limits)
        return cls(rate_limiter, Spend(database), CircuitBreakers(database), Quarantine(database))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Functions for waiting, replaced in tests.

    ``pause`` returns the seconds to wait, given the maximum.
    """

    sleep: Callable[[float], None] = time.sleep
    pause: Callable[[float], float] = lambda maximum: random.uniform(0, maximum)  # noqa: S311


BACKOFF = Backoff()


class LimitedClient:
    """A provider client that enforces limits and budgets.

    ``state`` is called at the first call, so that creating an engine opens no database.
    ``budget_usd`` is per organisation and day; None means no limit. Threads may share a client.
    """

    def __init__(
        self,
        provider: str,
        state: Callable[[], ProviderState],
        *,
        price_of: PriceOf,
        budget_usd: float | None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._provider = provider
        self._state = state
        self._price_of = price_of
        self._budget_usd = budget_usd
        self._backoff = backoff

    @property
    def provider(self) -> str:
        return self._provider

    def execute(self, provider_call: ProviderCall[T]) -> T:
        """Execute a call with rate limits, budget and retries.

        See ``ProviderClient.execute``.
        """
        call = _CallState(self._state(), current_call_context(), self._provider, provider_call)
        while True:
            attempt_id = self._acquire(call)
            reply = self._attempt(call, attempt_id)
            if isinstance(reply, Reply):
                return reply.value
            call.attempts += 1
            self._handle_error(call, reply, attempt_id)

    def _acquire(self, call: _CallState[T]) -> int:
        """Wait for the rate limit, reserve the cost and return the attempt's id.

        Raises ``Parked``.
        """
        context, max_usage, remaining = call.context, call.call.max_usage, call.retry_budget
        while True:
            grant = call.state.rate_limiter.acquire(
                context.org_id,
                max_usage.input_tokens + max_usage.output_tokens,
                max_wait_seconds=remaining,
            )
            if not grant.taken:
                raise _no_grant(grant, call.request_info)
            if grant.wait_seconds:
                remaining -= grant.wait_seconds
                self._backoff.sleep(grant.wait_seconds)
            reservation = call.state.spend.reserve(
                context, self._reservation_request(call), self._budget_usd
            )
            if reservation.attempt_id is not None:
                return reservation.attempt_id
            if reservation.refusal != "held":  # a pause started meanwhile; acquire() waits for it
                raise _no_reservation(reservation)

    def _reservation_request(self, call: _CallState[T]) -> ReservationRequest:
        provider_call = call.call
        max_usd = self._price_of(provider_call.model, provider_call.max_usage)
        return ReservationRequest(
            call.id, self._provider, provider_call.model, provider_call.endpoint, max_usd
        )

    def _attempt(self, call: _CallState[T], attempt_id: int) -> Reply[T] | RetryDecision:
        """Make one attempt and record its cost, however it ends.

        Returns the reply, or the decision about its error.
        """
        try:
            reply = call.call.send()
        except Exception as error:
            decision = classify_error(error, call.request_info)
            self._settle(call, attempt_id, _usage_of_error(error), decision, error)
            if decision is None:
                raise
            return decision
        except BaseException as error:
            self._settle(call, attempt_id, NO_USAGE, None, error)
            raise
        self._settle(call, attempt_id, reply.used)
        with suppress(DatabaseUnavailable):
            call.state.rate_limiter.update_limits(call.context.org_id, parse_limits(reply.headers))
        return reply

    def _settle(
        self,
        call: _CallState[T],
        attempt_id: int,
        used: Usage,
        decision: RetryDecision | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Record the usage and cost of an attempt.

        If the database is unavailable, a reply that was paid for is not discarded: the reservation
        expires.
        """
        reported = decision.error if decision else error
        settlement = Settlement(
            cost_usd=self._price_of(call.call.model, used),
            used=used,
            http_status=decision.status if decision else None if error else 200,
            error_class=type(reported).__name__ if reported else None,
        )
        with suppress(DatabaseUnavailable):
            call.state.spend.settle(call.context.org_id, attempt_id, settlement)

    def _handle_error(self, call: _CallState[T], decision: RetryDecision, attempt_id: int) -> None:
        """Raise the error, or return if there is to be another attempt."""
        if decision.action == "again":
            self._pause(call, decision)
            return
        error = decision.error
        if decision.action == "stop":
            call.state.circuit_breakers.open(
                call.context.org_id, self._provider, reason=str(error), remedy=error.remedy
            )
        if isinstance(error, InvalidProviderResponse):
            if not call.retried_invalid:
                call.retried_invalid = True
                return
            call.state.quarantine.add(
                call.context.org_id, attempt_id, reason=str(error), reply=error.reply
            )
        raise error

    def _pause(self, call: _CallState[T], decision: RetryDecision) -> None:
        """Wait before another attempt, or raise if the retry budget is spent.

        A pause that applies to all workers is waited for when the rate limit is acquired again.
        """
        seconds = decision.wait
        if seconds is None:
            doubled = _FIRST_PAUSE_SECONDS * 2 ** (call.attempts - 1)
            seconds = self._backoff.pause(min(doubled, _MAX_PAUSE_SECONDS))
        call.waited_seconds += seconds
        over_budget = call.waited_seconds > call.retry_budget
        if decision.pause_all:
            call.rate_limited_count += 1
            repeated_429 = call.rate_limited_count >= MAX_ATTEMPTS
            pause = max(seconds, _REPEATED_429_SECONDS) if repeated_429 else seconds
            until = call.state.rate_limiter.pause(call.context.org_id, pause)
            if repeated_429 or over_budget:
                raise _rate_limited(call.request_info, until)
        if over_budget or call.attempts >= MAX_ATTEMPTS:
            raise decision.error
        if not decision.pause_all:
            self._backoff.sleep(seconds)


@dataclass(slots=True)
class _CallState(Generic[T]):
    """A call in progress.

    ``rate_limited_count``: attempts after which all workers had to pause. ``retried_invalid``: one
    reply was invalid already.
    """

    state: ProviderState
    context: CallContext
    provider: str
    call: ProviderCall[T]
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    attempts: int = 0
    waited_seconds: float = 0.0
    rate_limited_count: int = 0
    retried_invalid: bool = False

    @property
    def retry_budget(self) -> float:
        """Return the maximum waiting time, in seconds."""
        interactive = self.context.purpose in INTERACTIVE
        return _INTERACTIVE_RETRY_BUDGET_SECONDS if interactive else PROVIDER_RETRY_BUDGET_SECONDS

    @property
    def request_info(self) -> RequestInfo:
        return RequestInfo(self.provider, self.call.model, self.call.endpoint)


def _no_grant(grant: RateLimitGrant, request: RequestInfo) -> Parked:
    if grant.until is None:
        return _circuit_open(grant.reason, grant.remedy)
    return _rate_limited(request, grant.until)


def _no_reservation(reservation: Reservation) -> Parked:
    if reservation.refusal == "stopped":
        return _circuit_open(reservation.reason, reservation.remedy)
    return BudgetExceeded(
        reservation.reason or "",
        until=reservation.until,
        remedy="It continues tomorrow (UTC). To continue now, raise PLAYHEAD_DAILY_BUDGET_USD, "
        "then: playhead retry",
    )


def _circuit_open(reason: str | None, remedy: str | None) -> CircuitOpen:
    return CircuitOpen(reason or "", until=None, remedy=remedy or "")


def _rate_limited(request: RequestInfo, until: datetime) -> RateLimited:
    return RateLimited(
        f"{request.provider} asks for a longer pause between requests.",
        until=until,
        remedy="It continues automatically. To continue now: "
        f"playhead engines resume {request.provider}",
    )


def _usage_of_error(error: Exception) -> Usage:
    """Return the usage that an invalid reply reports, since it is billed, too."""
    if not isinstance(error, InvalidProviderResponse):
        return NO_USAGE
    try:
        usage = json.loads(error.reply)["usage"]
        return Usage(
            int(usage.get("input_tokens", usage.get("prompt_tokens", 0))),
            int(usage.get("output_tokens", usage.get("completion_tokens", 0))),
            float(usage.get("seconds", 0.0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return NO_USAGE
