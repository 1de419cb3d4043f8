"""A way to read or write. ``attacker.py`` and ``http_like.py`` list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.isolation.tenants import Tenant

#: Runs for the first tenant with keys of the second. A write may return nothing.
Query = Callable[[Tenant, Tenant], Iterable[object] | None]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read or write.

    ``names_other``: the other's name is sent, so that an error may contain it. ``weight``: how
    often it is chosen, relative to 1.
    """

    query: Query
    names_other: bool = False
    weight: float = 1.0
