"""For whom an engine works just now: its calls are counted and paid as theirs.

Not an argument of every engine, since local ones have no use for it and it must reach the wire
through all that lies between. A thread started meanwhile needs the context of the one that starts
it (``contextvars.copy_context``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

#: What calls are made for: a stage of the pipeline, a question, or a check of the engine itself.
Purpose = str

SEARCH: Purpose = "search"
ANSWER: Purpose = "answer"
#: Somebody sits and waits.
INTERACTIVE: Final = frozenset({SEARCH, ANSWER})


@dataclass(frozen=True, slots=True)
class CallContext:
    """``recordings``: the ids of those it is for, each with its share of the cost as a weight;
    for an answer those that it is made from. ``patient``: a day's wait is worth half the price."""

    org_id: str
    purpose: Purpose
    recordings: Mapping[str, float] = field(default_factory=dict)
    batch: bool = False


_CURRENT: ContextVar[CallContext] = ContextVar("errand")


@contextmanager
def call_context(errand: CallContext) -> Iterator[None]:
    """Calls within are made for it."""
    token = _CURRENT.set(errand)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def batch_allowed() -> bool:
    """Whether the current errand is a patient one."""
    errand = _CURRENT.get(None)
    return errand is not None and errand.batch


def current_call_context() -> CallContext:
    """Raises ``LookupError`` where nobody said for whom the call is: an engine that costs money
    must not be called then."""
    return _CURRENT.get()
