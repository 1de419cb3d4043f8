"""A wire that can wait: for a patient errand it takes answers from batches.

Not here: sending batches and taking them in (``batches.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from playhead.core.call_context import batch_allowed, current_call_context
from playhead.core.errors import BatchPending, InvalidProviderResponse
from playhead.core.usage import Usage
from playhead.postgres.provider_use.batch_queue import BatchQueue, BatchRequest
from playhead.providers.client_protocol import Deferrable, ProviderCall, ProviderClient
from playhead.providers.model_catalog import batch_discount

#: A batch ends within a day. What waits longer than this asks again, which costs nothing.
_MAX_WAIT: Final = timedelta(hours=26)

T = TypeVar("T")


class BatchingClient:
    """A ``Wire`` over another to the same provider, which has a Batch API. ``deferred`` is asked
    for at the first patient call. ``cost_of``: of a model's use, asked directly, in US dollars."""

    def __init__(
        self,
        wire: ProviderClient,
        deferred: Callable[[], BatchQueue],
        *,
        cost_of: Callable[[str, Usage], float],
        budget_usd: float | None,
    ) -> None:
        self._wire = wire
        self._deferred = deferred
        self._cost_of = cost_of
        self._budget_usd = budget_usd

    @property
    def provider(self) -> str:
        return self._wire.provider

    def execute(self, ask: ProviderCall[T]) -> T:
        """See ``Wire.ask``. What no batch answers, and an answer that is an error or not to be
        believed, is asked directly."""
        if not (ask.deferrable and batch_allowed()):
            return self._wire.execute(ask)
        try:
            return self._answer(ask, ask.deferrable)
        except _SentDirectly:
            return self._wire.execute(ask)

    def _answer(self, ask: ProviderCall[T], deferrable: Deferrable[T]) -> T:
        errand, deferred = current_call_context(), self._deferred()
        request = BatchRequest(deferrable.path, deferrable.body)
        answer = deferred.answer(errand.org_id, self.provider, request)
        if answer is None:
            if deferred.should_send_directly(errand.org_id, self.provider, request):
                raise _SentDirectly
            at_most_usd = self._cost_of(ask.model, ask.max_usage) * batch_discount(self.provider)
            deferred.enqueue(
                errand,
                self.provider,
                request,
                at_most_usd=at_most_usd,
                budget_usd=self._budget_usd,
            )
            raise _batch_pending()
        try:
            if answer.status_code == 200:
                return deferrable.read(json.dumps(answer.body).encode()).value
        except InvalidProviderResponse:
            pass
        deferred.delete_answer(errand.org_id, self.provider, request)
        raise _SentDirectly


class _SentDirectly(Exception):
    """No batch will help."""


def _batch_pending() -> BatchPending:
    return BatchPending(
        "It goes with a batch, whose answers come within a day.",
        until=datetime.now(UTC) + _MAX_WAIT,
        remedy="It goes on by itself.",
    )
