"""Provider client that sends batch-mode calls through batches."""

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

#: A batch ends within a day. After this time the request is checked again, which costs nothing.
_MAX_WAIT: Final = timedelta(hours=26)

T = TypeVar("T")


class BatchingClient:
    """A provider client that takes answers from batches, and otherwise calls another client.

    Both use the same provider, which has a Batch API. The queue is opened at the first call in
    batch mode. ``cost_of`` returns the US dollars that a model's usage costs without the discount.
    """

    def __init__(
        self,
        provider_client: ProviderClient,
        queue: Callable[[], BatchQueue],
        *,
        cost_of: Callable[[str, Usage], float],
        budget_usd: float | None,
    ) -> None:
        self._provider_client = provider_client
        self._queue = queue
        self._cost_of = cost_of
        self._budget_usd = budget_usd

    @property
    def provider(self) -> str:
        return self._provider_client.provider

    def execute(self, call: ProviderCall[T]) -> T:
        """Execute a call, through a batch if its context allows one.

        A call is sent directly if no batch answers it, or if the answer is an error or invalid. See
        ``ProviderClient.execute``.
        """
        if not (call.deferrable and batch_allowed()):
            return self._provider_client.execute(call)
        try:
            return self._answer(call, call.deferrable)
        except _SentDirectly:
            return self._provider_client.execute(call)

    def _answer(self, call: ProviderCall[T], deferrable: Deferrable[T]) -> T:
        context, queue = current_call_context(), self._queue()
        request = BatchRequest(deferrable.path, deferrable.body)
        answer = queue.answer(context.org_id, self.provider, request)
        if answer is None:
            if queue.should_send_directly(context.org_id, self.provider, request):
                raise _SentDirectly
            max_usd = self._cost_of(call.model, call.max_usage) * batch_discount(self.provider)
            queue.enqueue(
                context,
                self.provider,
                request,
                max_usd=max_usd,
                budget_usd=self._budget_usd,
            )
            raise _batch_pending()
        try:
            if answer.status_code == 200:
                return deferrable.read(json.dumps(answer.body).encode()).value
        except InvalidProviderResponse:
            pass
        queue.delete_answer(context.org_id, self.provider, request)
        raise _SentDirectly


class _SentDirectly(Exception):
    """The call must be sent directly, since no batch will answer it."""


def _batch_pending() -> BatchPending:
    return BatchPending(
        "The request is part of a batch, which is answered within a day.",
        until=datetime.now(UTC) + _MAX_WAIT,
        remedy="It continues automatically.",
    )
