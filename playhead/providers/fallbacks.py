"""Find out once which request format a server supports.

The best format is tried first; the format that works is used from then on. Only for models without
a row in ``model_catalog.py``. The adapter remembers the format as long as its process lives. The
format is not part of any recipe: the engine is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from playhead.core.errors import InputTooLong, NotAnOpenAIEndpoint, RequestRejected

Variant = TypeVar("Variant")
T = TypeVar("T")


class FallbackChain(Generic[Variant]):
    """A sequence of request variants, best first, at least one.

    Threads may share it: at worst each of them finds the working variant itself.
    """

    def __init__(self, ways: Sequence[Variant]) -> None:
        self._ways = ways
        self._rung = 0

    @property
    def variant(self) -> Variant:
        """Return the variant that the next call tries first."""
        return self._ways[self._rung]

    def call(self, ask: Callable[[Variant], T]) -> T:
        """Return the first answer, starting with the variant that worked last time.

        Raises the error of the last variant, or at once an error that no other variant would avoid.
        """
        for rung in range(self._rung, len(self._ways)):
            try:
                answer = ask(self._ways[rung])
            except (RequestRejected, NotAnOpenAIEndpoint) as error:
                if isinstance(error, InputTooLong) or rung + 1 == len(self._ways):
                    raise
            else:
                self._rung = rung
                return answer
        raise AssertionError("a ladder has a way")  # unreachable: the last one returns or raises
