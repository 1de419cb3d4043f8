"""What a provider's headers say of pace; what is absurd in them says nothing."""

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
    ("said", "seconds"),
    [("6m0s", 360), ("20ms", 0.02), ("1h2m3s", 3723), ("8.64s", 8.64), ("1d", 86400), ("12", 12)],
)
def test_a_duration_is_read(said: str, seconds: float) -> None:
    assert parse_duration(said) == pytest.approx(seconds)


@pytest.mark.parametrize("said", ["", "soon", "5 parsecs", "-3", "nan", "inf", "1e999", "6m0"])
def test_what_is_no_duration_says_nothing(said: str) -> None:
    assert parse_duration(said) is None
    assert retry_after({"retry-after": said}) is None
    assert retry_after({"retry-after-ms": said}) is None


def test_a_pause_of_years_is_asked_about_again_after_a_day() -> None:
    assert retry_after({"retry-after": "99999999999"}) == MAX_PAUSE_SECONDS
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) == MAX_PAUSE_SECONDS


def test_a_date_is_measured_on_the_providers_own_clock() -> None:
    sent = datetime(2001, 1, 1, tzinfo=UTC)  # ours says something else
    headers = {
        "retry-after": format_datetime(sent + timedelta(minutes=2), usegmt=True),
        "date": format_datetime(sent, usegmt=True),
    }
    assert retry_after(headers) == 120


def test_a_date_that_has_passed_asks_for_no_pause() -> None:
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


def test_milliseconds_are_more_exact_than_seconds() -> None:
    assert retry_after({"retry-after": "2", "retry-after-ms": "1500"}) == 1.5


def test_limits_and_what_is_left_of_them_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert parse_limits(headers) == ProviderLimits(500, 499, 200_000, 150_000)


def test_a_limit_of_a_day_that_is_nearly_spent_comes_back_slowly() -> None:
    headers = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "24h",
    }
    assert parse_limits(headers).requests_a_minute == pytest.approx(10_000 / 1440)


@pytest.mark.parametrize("said", ["0", "-1", "many", "nan"])
def test_a_limit_that_is_none_says_nothing(said: str) -> None:
    assert not parse_limits({"x-ratelimit-limit-requests": said}).known


def test_no_headers_say_nothing() -> None:
    assert not parse_limits({}).known
    assert retry_after({}) is None
