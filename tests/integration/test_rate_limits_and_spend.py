"""Rate limits and the daily budget, shared by processes that race, crash and differ in clocks."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.rows import DictRow

from playhead.core.call_context import CallContext
from playhead.core.rate_limits import ProviderLimits
from playhead.postgres.database import Database
from playhead.postgres.provider_use.rate_limits import InitialLimits, RateLimiter
from playhead.postgres.provider_use.spend import Reservation, ReservationRequest, Settlement, Spend

REPOSITORY = Path(__file__).parents[2]
CONTEXT = CallContext("default", "search")
NO_LIMIT_SECONDS = 1e9

#: A process that takes all it can get and prints the amount.
RACER_PROGRAM = """
import sys
from playhead.postgres.database import Database
from playhead.postgres.provider_use.rate_limits import InitialLimits
from tests.integration.test_rate_limits_and_spend import reserve_all_money, take_all_grants
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print({"money": reserve_all_money, "grants": take_all_grants}[sys.argv[2]](database))
database.close()
"""


def reserve(spend: Spend, usd: float, budget: float | None) -> Reservation:
    return spend.reserve(
        CONTEXT, ReservationRequest(uuid.uuid4(), "openai", "m", "chat", usd), budget
    )


def reserve_all_money(database: Database) -> int:
    """Reserve a day's dollar in cents without settling any; return the number of cents."""
    spend, taken = Spend(database), 0
    while reserve(spend, 0.01, 1.0).attempt_id is not None:
        taken += 1
    return taken


def take_all_grants(database: Database) -> int:
    """Take all available grants, and return their number."""
    taken = 0
    while open_limiter(database, requests=600).acquire("default", 1, max_wait_seconds=0).taken:
        taken += 1
    return taken


@pytest.fixture
def spend(database: Database) -> Spend:
    open_limiter(database).acquire("default", 0, max_wait_seconds=0)  # as every attempt does first
    return Spend(database)


def open_limiter(database: Database, requests: int = 60, tokens: int = 600_000) -> RateLimiter:
    return RateLimiter(database, "openai", InitialLimits(requests, tokens))


def run_processes(url: str, resource: str, count: int) -> list[int]:
    """Return how much each of several concurrent processes took."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACER_PROGRAM, url, resource],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [int(process.communicate(timeout=60)[0]) for process in processes]


def test_budget_is_not_exceeded_by_concurrent_processes(
    fresh_database: Callable[[], str],
) -> None:
    url = fresh_database()
    database = Database(url)
    open_limiter(database).acquire("default", 0, max_wait_seconds=0)
    assert sum(run_processes(url, "money", 2)) == 100
    database.close()


def test_rate_limit_is_shared_by_concurrent_processes(
    fresh_database: Callable[[], str],
) -> None:
    url = fresh_database()
    database = Database(url)
    open_limiter(database, requests=600).acquire("default", 1, max_wait_seconds=NO_LIMIT_SECONDS)
    database.run(b"update provider_rate_limits set requests = 300")  # never full meanwhile
    before = limit_row(database)
    taken = sum(run_processes(url, "grants", 2))
    after = limit_row(database)
    refilled = 600 * (after["filled_at"] - before["filled_at"]).total_seconds() / 60
    assert taken >= 300
    assert after["requests"] == pytest.approx(before["requests"] + refilled - taken)
    assert after["requests"] >= 0
    database.close()


def limit_row(database: Database) -> DictRow:
    row = database.row(b"select * from provider_rate_limits")
    assert row is not None
    return row


def test_rate_limit_grants_taken_ahead_are_consecutive(database: Database) -> None:
    rate_limiter = open_limiter(database, requests=3)
    waits = [
        rate_limiter.acquire("default", 1, max_wait_seconds=NO_LIMIT_SECONDS).wait_seconds
        for _ in range(6)
    ]
    assert waits == [0, 0, 0, *(pytest.approx(second, abs=9) for second in (20, 40, 60))]


def test_rate_limit_grant_beyond_the_patience_costs_nothing(
    database: Database,
) -> None:
    rate_limiter = open_limiter(database, requests=1)
    assert rate_limiter.acquire("default", 1, max_wait_seconds=0).taken
    for _ in range(5):
        grant = rate_limiter.acquire("default", 1, max_wait_seconds=10)
        assert not grant.taken
        assert grant.wait_seconds == pytest.approx(60, abs=5)


def test_request_over_the_limit_per_minute_passes_and_the_next_one_waits(
    database: Database,
) -> None:
    rate_limiter = open_limiter(database, tokens=1000)
    assert rate_limiter.acquire("default", 5000, max_wait_seconds=0).taken
    after = rate_limiter.acquire("default", 1000, max_wait_seconds=NO_LIMIT_SECONDS)
    assert after.wait_seconds == pytest.approx(300, abs=5)


def test_pause_applies_to_all_and_the_longest_one_counts(database: Database) -> None:
    rate_limiter, other = open_limiter(database), open_limiter(database)
    rate_limiter.acquire("default", 1, max_wait_seconds=0)
    until = rate_limiter.pause("default", 300)
    assert other.pause("default", 5) == until
    grant = other.acquire("default", 1, max_wait_seconds=NO_LIMIT_SECONDS)
    assert grant.wait_seconds == pytest.approx(301, abs=3)
    assert rate_limiter.acquire("elsewhere", 1, max_wait_seconds=0).taken


def test_changed_settings_replace_learnt_limits(database: Database) -> None:
    open_limiter(database, requests=60).acquire("default", 1, max_wait_seconds=0)
    open_limiter(database, requests=60).update_limits(
        "default", ProviderLimits(requests_per_minute=7)
    )
    open_limiter(database, requests=60).acquire("default", 1, max_wait_seconds=0)
    assert limit_row(database)["requests_per_minute"] == 7
    open_limiter(database, requests=90).acquire("default", 1, max_wait_seconds=0)
    assert limit_row(database)["requests_per_minute"] == 90


def test_remaining_requests_are_never_raised_by_headers(database: Database) -> None:
    rate_limiter = open_limiter(database, requests=60)
    for _ in range(50):
        rate_limiter.acquire("default", 1, max_wait_seconds=0)
    rate_limiter.update_limits("default", ProviderLimits(requests_per_minute=60, requests_left=60))
    assert limit_row(database)["requests"] < 20
    rate_limiter.update_limits("default", ProviderLimits(requests_per_minute=60, requests_left=2))
    assert limit_row(database)["requests"] == 2


def test_unused_reservation_is_released_on_settlement(spend: Spend) -> None:
    reservation = reserve(spend, 0.9, 1.0)
    assert reserve(spend, 0.2, 1.0).refusal == "spent"
    assert reservation.attempt_id is not None
    spend.settle("default", reservation.attempt_id, Settlement(cost_usd=0.5))
    assert reserve(spend, 0.5, 1.0).attempt_id is not None
    assert reserve(spend, 0.0001, 1.0).refusal == "spent"


def test_reservation_of_a_crashed_worker_expires(spend: Spend, database: Database) -> None:
    reserve(spend, 1.0, 1.0)  # never settled
    assert reserve(spend, 0.5, 1.0).refusal == "spent"
    database.run(b"update provider_attempts set expires_at = clock_timestamp()")
    assert reserve(spend, 1.0, 1.0).attempt_id is not None


def test_settlement_after_expiry_is_counted(spend: Spend, database: Database) -> None:
    reservation = reserve(spend, 1.0, 1.0)
    database.run(b"update provider_attempts set expires_at = clock_timestamp()")
    assert reservation.attempt_id is not None
    spend.settle("default", reservation.attempt_id, Settlement(cost_usd=1.0))
    assert reserve(spend, 0.01, 1.0).refusal == "spent"


def test_attempt_is_settled_once(spend: Spend) -> None:
    reservation = reserve(spend, 1.0, None)
    assert reservation.attempt_id is not None
    for _ in range(2):
        spend.settle("default", reservation.attempt_id, Settlement(cost_usd=0.25))
    assert spend.spent_today("default") == 0.25


def test_spend_of_yesterday_is_not_counted_today(spend: Spend, database: Database) -> None:
    reservation = reserve(spend, 1.0, 1.0)
    database.run(b"update provider_attempts set day = day - 1")
    assert reserve(spend, 1.0, 1.0).attempt_id is not None
    assert reservation.attempt_id is not None
    spend.settle("default", reservation.attempt_id, Settlement(cost_usd=1.0))
    assert spend.spent_today("default") == 0.0


def test_day_is_that_of_the_database_clock(
    spend: Spend, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = database.row(b"select now() at time zone 'utc' as now")
    assert row is not None
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        until = reserve(spend, 2.0, 1.0).until
    finally:
        monkeypatch.undo()
        time.tzset()
    midnight = row["now"].date() + timedelta(days=1)
    assert until is not None
    assert until.astimezone(UTC) == datetime.combine(midnight, datetime.min.time(), UTC)


def test_budget_is_per_organisation(spend: Spend, database: Database) -> None:
    assert reserve(spend, 1.0, 1.0).attempt_id is not None
    open_limiter(database).acquire("other", 0, max_wait_seconds=0)
    request = ReservationRequest(uuid.uuid4(), "openai", "m", "chat", 1.0)
    assert spend.reserve(CallContext("other", "search"), request, 1.0).attempt_id is not None
