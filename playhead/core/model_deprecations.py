"""Shutdown dates of models, as announced by their providers.

The dates are OpenAI's (its deprecations page, read in November 2026). ``playhead engines --ask``
asks a provider for its current models.
"""

from __future__ import annotations

from datetime import date

_SHUTDOWN_DATES = {
    "gpt-5": date(2026, 12, 11),
    "gpt-5-mini": date(2026, 12, 11),
    "gpt-5-nano": date(2026, 12, 11),
    "o3": date(2026, 12, 11),
    "gpt-4.1": date(2027, 1, 14),
    "gpt-4.1-mini": date(2027, 1, 14),
    "gpt-4o": date(2027, 1, 14),
    "gpt-4o-mini": date(2027, 1, 14),
    "whisper-1": date(2027, 2, 26),
    "gpt-4o-transcribe": date(2027, 2, 26),
    "gpt-4o-mini-transcribe": date(2027, 2, 26),
    "gpt-4o-transcribe-diarize": date(2027, 2, 26),
    "gpt-5.1": date(2027, 4, 1),
    "gpt-5.4-nano": date(2027, 4, 1),
}

WARN_DAYS = 60
ERROR_DAYS = 14


def shutdown_date(model: str) -> date | None:
    """Return the day on which a model is shut down, or None if no date is announced.

    A dated snapshot (``gpt-4o-2024-08-06``) is shut down with its model.
    """
    matches = [name for name in _SHUTDOWN_DATES if model == name or model.startswith(f"{name}-20")]
    return _SHUTDOWN_DATES[max(matches, key=len)] if matches else None


def days_left(model: str, today: date) -> int | None:
    """Return the days from ``today`` to the model's shutdown, or None if no date is announced."""
    end = shutdown_date(model)
    return None if end is None else (end - today).days
