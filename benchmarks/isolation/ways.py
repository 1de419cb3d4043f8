"""What a way to ask or to write is. Not here: which there are (``visitor.py``, ``face.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.isolation.tenants import Tenant

#: For the first, who has heard of the keys of the second. A write may give nothing.
Query = Callable[[Tenant, Tenant], Iterable[object] | None]


@dataclass(frozen=True, slots=True)
class Way:
    """``says``: the other's name is among what is sent, and an error may say what it was sent.
    ``weight``: how often it is taken, beside 1."""

    query: Query
    names_other: bool = False
    weight: float = 1.0
