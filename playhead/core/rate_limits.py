"""The limits that a provider reports in its response headers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """Rate limits reported by a provider; None where it does not report a limit.

    ``…_per_minute`` is the rate at which the allowance refills, ``…_left`` the amount that may be
    sent immediately.
    """

    requests_per_minute: float | None = None
    requests_left: float | None = None
    tokens_per_minute: float | None = None
    tokens_left: float | None = None

    @property
    def known(self) -> bool:
        return self != ProviderLimits()
