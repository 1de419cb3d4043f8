"""The limits that a provider reports in its response headers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What a provider says of our pace. ``…_a_minute``: how much comes back; ``…_left``: what may
    be sent at once. None: it does not say."""

    requests_a_minute: float | None = None
    requests_left: float | None = None
    tokens_a_minute: float | None = None
    tokens_left: float | None = None

    @property
    def known(self) -> bool:
        return self != ProviderLimits()
