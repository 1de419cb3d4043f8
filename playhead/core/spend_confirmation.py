"""Confirmation of costs by a person before money is spent.

``pipeline_assets/planning/estimates.py`` estimates the costs.
"""

from __future__ import annotations

from playhead.core.errors import ConfigurationError


class CostNotConfirmed(ConfigurationError):
    """An action whose cost is above the limit and was not confirmed."""


def require_confirmation(usd: float, confirmed_usd: float | None, limit_usd: float) -> None:
    """Raise ``CostNotConfirmed`` if the cost is above the limit and was not confirmed.

    All amounts are in US dollars; a confirmed amount below ``usd`` does not count.
    """
    if usd > limit_usd and (confirmed_usd is None or confirmed_usd < usd):
        raise CostNotConfirmed(
            f"The estimated cost is ${usd:.2f}. Above ${limit_usd:.2f} it must be confirmed.",
            remedy=f"To confirm it: --confirm-usd {usd:.2f}",
        )
