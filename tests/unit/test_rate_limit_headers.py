"""Rate limits and pauses from a provider's headers; absurd values are ignored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from playhead.core.rate_limits import ProviderLimits
from playhead.providers.rate_limit_headers import (
    MAX_PAUSE_SECONDS,
    parse_duration,
    parse_limits,
    retry_after,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("6m0s", 360), ("20ms", 0.02), ("1h2m3s", 3723), ("8.64s", 8.64), ("1d", 86400), ("12", 12)],
)
def test_duration_is_parsed(value: str, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "soon", "5 parsecs", "-3", "nan", "inf", "1e999", "6m0"])
def test_invalid_duration_is_ignored(value: str) -> None:
    assert parse_duration(value) is None
    assert retry_after({"retry-after": value}) is None
    assert retry_after({"retry-after-ms": value}) is None


def test_pause_of_years_is_limited_to_a_day() -> None:
    assert retry_after({"retry-after": "99999999999"}) == MAX_PAUSE_SECONDS
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) == MAX_PAUSE_SECONDS


def test_retry_date_is_relative_to_the_providers_clock() -> None:
    sent = datetime(2001, 1, 1, tzinfo=UTC)  # differs from our clock
    headers = {
        "retry-after": format_datetime(sent + timedelta(minutes=2), usegmt=True),
        "date": format_datetime(sent, usegmt=True),
    }
    assert retry_after(headers) == 120


def test_retry_date_in_the_past_needs_no_pause() -> None:
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


def test_retry_milliseconds_take_precedence_over_seconds() -> None:
    assert retry_after({"retry-after": "2", "retry-after-ms": "1500"}) == 1.5


def test_limits_and_remaining_amounts_are_parsed() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert parse_limits(headers) == ProviderLimits(500, 499, 200_000, 150_000)


def test_daily_limit_that_is_spent_gives_a_slow_rate() -> None:
    headers = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "24h",
    }
    assert parse_limits(headers).requests_per_minute == pytest.approx(10_000 / 1440)


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan"])
def test_invalid_limit_is_ignored(value: str) -> None:
    assert not parse_limits({"x-ratelimit-limit-requests": value}).known


def test_missing_headers_give_no_limits() -> None:
    assert not parse_limits({}).known
    assert retry_after({}) is None
