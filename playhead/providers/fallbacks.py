"""What a server cannot do is found out once: it is asked the best way first, and what it took is
how it is asked from then on.

Only for models without a row in ``capabilities.py``. Remembered by the adapter, which lives as
long as its process, and no part of any recipe: the same engine gives what it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from playhead.core.errors import InputTooLong, NotAnOpenAIEndpoint, RequestRejected

Variant = TypeVar("Variant")
T = TypeVar("T")


class FallbackChain(Generic[Variant]):
    """``ways``: to ask, best first, at least one. Threads may share it: at worst each finds out
    for itself."""

    def __init__(self, ways: Sequence[Variant]) -> None:
        self._ways = ways
        self._rung = 0

    @property
    def variant(self) -> Variant:
        """As it will be asked next."""
        return self._ways[self._rung]

    def call(self, ask: Callable[[Variant], T]) -> T:
        """The first answer, from the way that served last time on downwards. Raises what the last
        way raised, and at once what no other way would help."""
        for rung in range(self._rung, len(self._ways)):
            try:
                answer = ask(self._ways[rung])
            except (RequestRejected, NotAnOpenAIEndpoint) as error:
                if isinstance(error, InputTooLong) or rung + 1 == len(self._ways):
                    raise
            else:
                self._rung = rung
                return answer
        raise AssertionError("a ladder has a way")  # unreachable: the last rung returns or raises
