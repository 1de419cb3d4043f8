"""Money that somebody must agree to before it is spent.

Not here: what something would cost (``pipeline_assets/planning/estimates.py``, ``model_change.py``).
"""

from __future__ import annotations

from playhead.core.errors import ConfigurationError


class CostNotConfirmed(ConfigurationError):
    """Something that costs money above the limit was to be started."""


def require_confirmation(usd: float, confirmed_usd: float | None, limit_usd: float) -> None:
    """Raise ``PriceNotConfirmed`` where the price is above the limit and nobody agreed to it."""
    if usd > limit_usd and (confirmed_usd is None or confirmed_usd < usd):
        raise CostNotConfirmed(
            f"This would cost about ${usd:.2f}; unasked, ${limit_usd:.2f} may be spent.",
            remedy=f"To agree to it: --confirm-usd {usd:.2f}",
        )
