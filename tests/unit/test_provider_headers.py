"""What a provider's headers say of pace; what is absurd in them says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from playhead.core.rate_limits import ProviderLimits
from playhead.providers.rate_limit_headers import (
    LONGEST_PAUSE_SECONDS,
    limits,
    pause_asked,
    seconds_of,
)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("6m0s", 360), ("20ms", 0.02), ("1h2m3s", 3723), ("8.64s", 8.64), ("1d", 86400), ("12", 12)],
)
def test_a_duration_is_read(said: str, seconds: float) -> None:
    assert seconds_of(said) == pytest.approx(seconds)


@pytest.mark.parametrize("said", ["", "soon", "5 parsecs", "-3", "nan", "inf", "1e999", "6m0"])
def test_what_is_no_duration_says_nothing(said: str) -> None:
    assert seconds_of(said) is None
    assert pause_asked({"retry-after": said}) is None
    assert pause_asked({"retry-after-ms": said}) is None


def test_a_pause_of_years_is_asked_about_again_after_a_day() -> None:
    assert pause_asked({"retry-after": "99999999999"}) == LONGEST_PAUSE_SECONDS
    assert pause_asked({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) == LONGEST_PAUSE_SECONDS


def test_a_date_is_measured_on_the_providers_own_clock() -> None:
    sent = datetime(2001, 1, 1, tzinfo=UTC)  # ours says something else
    headers = {
        "retry-after": format_datetime(sent + timedelta(minutes=2), usegmt=True),
        "date": format_datetime(sent, usegmt=True),
    }
    assert pause_asked(headers) == 120


def test_a_date_that_has_passed_asks_for_no_pause() -> None:
    assert pause_asked({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


def test_milliseconds_are_more_exact_than_seconds() -> None:
    assert pause_asked({"retry-after": "2", "retry-after-ms": "1500"}) == 1.5


def test_limits_and_what_is_left_of_them_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert limits(headers) == ProviderLimits(500, 499, 200_000, 150_000)


def test_a_limit_of_a_day_that_is_nearly_spent_comes_back_slowly() -> None:
    headers = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "24h",
    }
    assert limits(headers).requests_a_minute == pytest.approx(10_000 / 1440)


@pytest.mark.parametrize("said", ["0", "-1", "many", "nan"])
def test_a_limit_that_is_none_says_nothing(said: str) -> None:
    assert not limits({"x-ratelimit-limit-requests": said}).known


def test_no_headers_say_nothing() -> None:
    assert not limits({}).known
    assert pause_asked({}) is None
