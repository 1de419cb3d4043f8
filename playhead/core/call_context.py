"""The organisation, purpose and recordings that the current engine call belongs to.

The context is used for cost and rate limits. It is stored in a ``ContextVar`` instead of being an
argument of every engine, since local engines have no use for it and it must reach the provider
client through all layers in between. A new thread needs a copy of the context of the thread that
starts it (``contextvars.copy_context``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

#: The purpose of a call: a stage of the pipeline, a question, or a check of the engine itself.
Purpose = str

SEARCH: Purpose = "search"
ANSWER: Purpose = "answer"
#: Purposes for which a user waits.
INTERACTIVE: Final = frozenset({SEARCH, ANSWER})


@dataclass(frozen=True, slots=True)
class CallContext:
    """The organisation, purpose and recordings of a call.

    ``recordings`` maps the id of each recording to its share of the cost, as a weight; for an
    answer, these are the recordings that it is based on. ``batch`` is True if the call may wait up
    to a day for half the price.
    """

    org_id: str
    purpose: Purpose
    recordings: Mapping[str, float] = field(default_factory=dict)
    batch: bool = False


_CURRENT: ContextVar[CallContext] = ContextVar("call_context")


@contextmanager
def call_context(context: CallContext) -> Iterator[None]:
    """Set the call context of all calls inside the ``with`` block."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def batch_allowed() -> bool:
    """Return True if the current call context allows batch mode."""
    context = _CURRENT.get(None)
    return context is not None and context.batch


def current_call_context() -> CallContext:
    """Return the current call context.

    Raises ``LookupError`` if none is set: an engine that costs money must not be called then.
    """
    return _CURRENT.get()
