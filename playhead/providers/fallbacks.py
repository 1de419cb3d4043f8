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

    def __init__(self, variants: Sequence[Variant]) -> None:
        self._variants = variants
        self._index = 0

    @property
    def variant(self) -> Variant:
        """Return the variant that the next call tries first."""
        return self._variants[self._index]

    def call(self, send: Callable[[Variant], T]) -> T:
        """Return the first answer, starting with the variant that worked last time.

        Raises the error of the last variant, or at once an error that no other variant would avoid.
        """
        for index in range(self._index, len(self._variants)):
            try:
                answer = send(self._variants[index])
            except (RequestRejected, NotAnOpenAIEndpoint) as error:
                if isinstance(error, InputTooLong) or index + 1 == len(self._variants):
                    raise
            else:
                self._index = index
                return answer
        raise ValueError("a FallbackChain needs at least one variant")
