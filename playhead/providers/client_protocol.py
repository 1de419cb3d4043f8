"""The one way to a provider: an adapter says what it asks, the wire asks it at the right pace, for
money that is there, as often as it takes, and believes no reply that its adapter does not.

Here: what adapters (``resources/*/openai.py``) and the wire agree on. Not here: how it is done
(``metered.py``), what a provider's errors mean (``verdicts.py``), what a model can do
(``capabilities.py``).
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
    """A reply that was believed: ``value`` is what the adapter made of it. ``headers`` in lower
    case."""

    value: T
    used: Usage
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deferrable(Generic[T]):
    """How a request is put into a batch. ``path``: of the endpoint, "/v1/embeddings"; ``body``:
    JSON, with the model. ``read`` checks the body of an answer as that of a direct reply is
    checked; it raises ``ReplyNotBelieved``."""

    path: str
    body: Json
    read: Callable[[bytes], Reply[T]]


@dataclass(frozen=True, slots=True)
class ProviderCall(Generic[T]):
    """A request, whatever the number of attempts it takes. ``at_most`` is what one attempt may
    use: it is reserved before and settled after. ``send`` makes one attempt and gives a reply
    that was checked; it raises ``openai.OpenAIError``, or ``ReplyNotBelieved`` with what came.
    ``deferrable``: None where no batch takes it."""

    endpoint: Endpoint
    model: str
    max_usage: Usage
    send: Callable[[], Reply[T]]
    deferrable: Deferrable[T] | None = None


class ProviderClient(Protocol):
    """To one provider, for whomever the current errand is (``errand.py``)."""

    @property
    def provider(self) -> str: ...

    def execute(self, ask: ProviderCall[T]) -> T:
        """The reply's value. Seconds of trouble are waited out inside. Raises ``Parked``
        (a pause of minutes, a spent budget, an open breaker, a batch), ``ProviderUnavailable``
        when it stays away, ``ReplyNotBelieved`` once a second reply was not to be believed either,
        ``RequestRefused``, ``ModelUnavailable`` or ``NotAProvider``."""
        ...
