"""Parse rate limits and retry times from the headers of a provider's reply.

They are hints of another machine; absurd values are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from playhead.core.rate_limits import ProviderLimits

#: Maximum pause: a provider that asks for more is called again after a day.
MAX_PAUSE_SECONDS = 24 * 3600.0

Headers = Mapping[str, str]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE_LEFT = 0.1  # below this share of the limit the refill rate counts


def retry_after(headers: Headers) -> float | None:
    """Return the seconds until the provider accepts another request.

    Returns None if the headers do not say, or the value makes no sense.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_PAUSE_SECONDS)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        seconds = _until(value, headers.get("date"))
    return None if seconds is None else min(seconds, MAX_PAUSE_SECONDS)


def parse_limits(headers: Headers) -> ProviderLimits:
    """Parse the ``x-ratelimit-*`` headers as OpenAI and Groq send them.

    They hold a limit, what remains of it, and the time until it is full again ("6m0s", "20ms").
    """
    requests, tokens = (_bucket(headers, kind) for kind in ("requests", "tokens"))
    return ProviderLimits(*requests, *tokens)


def _bucket(headers: Headers, kind: str) -> tuple[float | None, float | None]:
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    if not limit or limit < 1:
        return None, remaining
    reset_seconds = parse_duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
    if (
        remaining is not None
        and remaining < limit * _SHARE_LEFT
        and reset_seconds
        and reset_seconds > 60
    ):
        return (
            limit - remaining
        ) * 60 / reset_seconds, remaining  # a limit per day, not per minute
    return limit, remaining


def parse_duration(duration: str) -> float | None:
    """Return the seconds of "1h2m3s", "8.64s", "20ms" or a bare number of seconds."""
    parts = _DURATION.findall(duration)
    if parts and "".join(number + unit for number, unit in parts) == duration.strip():
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return _number(duration)


def _number(text: str | None) -> float | None:
    with suppress(TypeError, ValueError):
        number = float(text or "")
        return number if math.isfinite(number) and number >= 0 else None
    return None


def _until(date: str, now: str | None) -> float | None:
    """Return the seconds until ``date``, or None if it cannot be parsed.

    Uses the server's own clock if it sent one, so that ours may be wrong.
    """
    with suppress(ValueError, TypeError):
        target = parsedate_to_datetime(date)
        sent = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max((_aware(target) - _aware(sent)) / timedelta(seconds=1), 0.0)
    return None


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
