"""The protocol between adapters and provider clients.

Adapters (``playhead/engines``) describe a call; the client (``limited_client.py``) executes it with
rate limits, a budget and retries, and accepts only replies that the adapter validated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from playhead.core.records import Json
from playhead.core.usage import Endpoint, Usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A validated reply. ``value`` is the adapter's result; ``headers`` have lower-case names."""

    value: T
    used: Usage
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deferrable(Generic[T]):
    """The form of a call in a batch.

    ``path`` is the endpoint's, such as "/v1/embeddings"; ``body`` is JSON and includes the model.
    ``read`` validates the body of an answer like that of a direct reply; it raises
    ``InvalidProviderResponse``.
    """

    path: str
    body: Json
    read: Callable[[bytes], Reply[T]]


@dataclass(frozen=True, slots=True)
class ProviderCall(Generic[T]):
    """A call to a provider, independent of the number of attempts.

    ``max_usage`` is the maximum that one attempt may use: it is reserved before the attempt and
    settled after it. ``send`` makes one attempt and returns a validated reply; it raises
    ``openai.OpenAIError``, or ``InvalidProviderResponse`` with the reply. ``deferrable`` is None if
    the call cannot be in a batch.
    """

    endpoint: Endpoint
    model: str
    max_usage: Usage
    send: Callable[[], Reply[T]]
    deferrable: Deferrable[T] | None = None


class ProviderClient(Protocol):
    """A client of one provider, working in the current call context (``core/call_context.py``)."""

    @property
    def provider(self) -> str: ...

    def execute(self, call: ProviderCall[T]) -> T:
        """Return the value of the reply, waiting and retrying for seconds if necessary.

        Raises ``Parked`` (a pause of minutes, a spent budget, an open circuit breaker, a batch),
        ``ProviderUnavailable`` if the provider stays unavailable, ``InvalidProviderResponse`` if a
        second reply was invalid, too, ``RequestRejected``, ``ModelUnavailable`` or
        ``NotAnOpenAIEndpoint``.
        """
        ...
