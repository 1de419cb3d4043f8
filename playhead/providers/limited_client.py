"""The wire to a provider as it is: at the shared pace, for money that was reserved, as often as it
takes, with every attempt in the books.

An attempt goes: a turn of the bucket is taken and waited for, the breaker and the day's money are
looked at, the request is sent, what it came to is written down, and of an error a verdict is taken.
Not here: what errors mean (``verdicts.py``), what adapters ask and believe.
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
from playhead.providers.error_classification import Asked, Verdict, verdict_on
from playhead.providers.rate_limit_headers import limits

MOST_ATTEMPTS = 5
#: A worker waits no longer, for its turn or for trouble to pass: more than that is the pipeline's.
PATIENCE_SECONDS = 60.0
_ATTENDED_PATIENCE_SECONDS = 3.0  # a question is rather answered from here than late
_FIRST_PAUSE_SECONDS = 1.0  # at most; it doubles
_LONGEST_PAUSE_SECONDS = 20.0
#: For all, when one had tried often enough: longer than anybody waits, so all lay their work aside.
_STORM_SECONDS = 2 * PATIENCE_SECONDS

#: US dollars of what a model used.
PriceOf = Callable[[str, Usage], float]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What all workers of an installation share about one provider."""

    pace: RateLimiter
    spend: Spend
    breakers: CircuitBreakers
    quarantine: Quarantine

    @classmethod
    def of(cls, database: Database, provider: str, beginning: InitialLimits) -> ProviderState:
        """As they are kept in this database."""
        pace = RateLimiter(database, provider, beginning)
        return cls(pace, Spend(database), CircuitBreakers(database), Quarantine(database))


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a worker waits: tests wait otherwise. ``pause``: seconds, of at most as many."""

    sleep: Callable[[float], None] = time.sleep
    pause: Callable[[float], float] = lambda at_most: random.uniform(0, at_most)  # noqa: S311


WAITING = Waiting()


class LimitedClient:
    """A ``Wire``. ``books`` is asked for at the first call, so that making an engine opens no
    database. ``budget_usd``: an organisation's a day; None: no limit. Threads may share it."""

    def __init__(
        self,
        provider: str,
        books: Callable[[], ProviderState],
        *,
        price_of: PriceOf,
        budget_usd: float | None,
        waiting: Waiting = WAITING,
    ) -> None:
        self._provider = provider
        self._books = books
        self._price_of = price_of
        self._budget_usd = budget_usd
        self._waiting = waiting

    @property
    def provider(self) -> str:
        return self._provider

    def execute(self, ask: ProviderCall[T]) -> T:
        """See ``Wire.ask``."""
        call = _Call(self._books(), current_call_context(), self._provider, ask)
        while True:
            attempt_id = self._permitted(call)
            reply = self._send(call, attempt_id)
            if isinstance(reply, Reply):
                return reply.value
            call.attempts += 1
            self._carry_out(call, reply, attempt_id)

    def _permitted(self, call: _Call[T]) -> int:
        """Wait for a turn and reserve the money; the attempt's id. Raises ``Parked``."""
        errand, used, left = call.errand, call.ask.at_most, call.patience
        while True:
            turn = call.books.pace.acquire(
                errand.org_id, used.input_tokens + used.output_tokens, patience=left
            )
            if not turn.taken:
                raise _no_turn(turn, call.asked)
            if turn.wait_seconds:
                left -= turn.wait_seconds
                self._waiting.sleep(turn.wait_seconds)
            permit = call.books.spend.reserve(errand, self._intended(call), self._budget_usd)
            if permit.attempt_id is not None:
                return permit.attempt_id
            if permit.refusal != "held":  # else a pause began meanwhile, which the turn waits for
                raise _no_permit(permit)

    def _intended(self, call: _Call[T]) -> ReservationRequest:
        ask = call.ask
        at_most_usd = self._price_of(ask.model, ask.at_most)
        return ReservationRequest(call.id, self._provider, ask.model, ask.endpoint, at_most_usd)

    def _send(self, call: _Call[T], attempt_id: int) -> Reply[T] | Verdict:
        """One attempt, in the books however it ends."""
        try:
            reply = call.ask.send()
        except Exception as error:
            verdict = verdict_on(error, call.asked)
            self._settle(call, attempt_id, _used_by(error), verdict, error)
            if verdict is None:
                raise
            return verdict
        except BaseException as error:
            self._settle(call, attempt_id, NO_USAGE, None, error)
            raise
        self._settle(call, attempt_id, reply.used)
        with suppress(DatabaseUnavailable):
            call.books.pace.update_limits(call.errand.org_id, limits(reply.headers))
        return reply

    def _settle(
        self,
        call: _Call[T],
        attempt_id: int,
        used: Usage,
        verdict: Verdict | None = None,
        error: BaseException | None = None,
    ) -> None:
        """A reply that was paid for is not thrown away because its price cannot be written down:
        the reservation lapses then."""
        told = verdict.error if verdict else error
        ended = Settlement(
            cost_usd=self._price_of(call.ask.model, used),
            used=used,
            http_status=verdict.status if verdict else None if error else 200,
            error_class=type(told).__name__ if told else None,
        )
        with suppress(DatabaseUnavailable):
            call.books.spend.settle(call.errand.org_id, attempt_id, ended)

    def _carry_out(self, call: _Call[T], verdict: Verdict, attempt_id: int) -> None:
        """Returns when there is to be another attempt."""
        if verdict.action == "again":
            self._pause(call, verdict)
            return
        error = verdict.error
        if verdict.action == "stop":
            call.books.breakers.open(
                call.errand.org_id, self._provider, reason=str(error), remedy=error.remedy
            )
        if isinstance(error, InvalidProviderResponse):
            if not call.doubted:
                call.doubted = True
                return
            call.books.quarantine.add(
                call.errand.org_id, attempt_id, reason=str(error), reply=error.reply
            )
        raise error

    def _pause(self, call: _Call[T], verdict: Verdict) -> None:
        """Before another attempt. What is asked of everyone is waited for with the next turn."""
        seconds = verdict.wait
        if seconds is None:
            doubled = _FIRST_PAUSE_SECONDS * 2 ** (call.attempts - 1)
            seconds = self._waiting.pause(min(doubled, _LONGEST_PAUSE_SECONDS))
        call.trouble_seconds += seconds
        impatient = call.trouble_seconds > call.patience
        if verdict.everyone:
            call.held += 1
            storm = call.held >= MOST_ATTEMPTS
            pause = max(seconds, _STORM_SECONDS) if storm else seconds
            until = call.books.pace.pause(call.errand.org_id, pause)
            if storm or impatient:
                raise _rate_limited(call.asked, until)
        if impatient or call.attempts >= MOST_ATTEMPTS:
            raise verdict.error
        if not verdict.everyone:
            self._waiting.sleep(seconds)


@dataclass(slots=True)
class _Call(Generic[T]):
    """A request under way. ``held``: attempts after which all were asked to keep away; ``doubted``:
    one reply was not believed already."""

    books: ProviderState
    errand: CallContext
    provider: str
    ask: ProviderCall[T]
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    attempts: int = 0
    trouble_seconds: float = 0.0
    held: int = 0
    doubted: bool = False

    @property
    def patience(self) -> float:
        """In seconds."""
        attended = self.errand.purpose in INTERACTIVE
        return _ATTENDED_PATIENCE_SECONDS if attended else PATIENCE_SECONDS

    @property
    def asked(self) -> Asked:
        return Asked(self.provider, self.ask.model, self.ask.endpoint)


def _no_turn(turn: RateLimitGrant, asked: Asked) -> Parked:
    if turn.until is None:
        return _stopped(turn.reason, turn.remedy)
    return _rate_limited(asked, turn.until)


def _no_permit(permit: Reservation) -> Parked:
    if permit.refusal == "stopped":
        return _stopped(permit.reason, permit.remedy)
    return BudgetExceeded(
        permit.reason or "",
        until=permit.until,
        remedy="It goes on tomorrow (UTC); or raise PLAYHEAD_DAILY_BUDGET_USD, and then: "
        "playhead retry",
    )


def _stopped(reason: str | None, remedy: str | None) -> CircuitOpen:
    return CircuitOpen(reason or "", until=None, remedy=remedy or "")


def _rate_limited(asked: Asked, until: datetime) -> RateLimited:
    return RateLimited(
        f"{asked.provider} asks for a longer pause.",
        until=until,
        remedy=f"It goes on by itself; at once with: playhead engines resume {asked.provider}",
    )


def _used_by(error: Exception) -> Usage:
    """What a reply that was not believed says it used: it is billed all the same."""
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
