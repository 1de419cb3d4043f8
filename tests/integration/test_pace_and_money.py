"""The bucket and the day's money, shared by processes that race, crash and have clocks of their
own."""

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
ERRAND = CallContext("default", "search")
PATIENT = 1e9

#: Takes all it can get, and says how much that was.
RACER = """
import sys
from playhead.postgres.database import Database
from playhead.postgres.provider_use.rate_limits import InitialLimits
from tests.integration.test_pace_and_money import money_taken, turns_taken
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print({"money": money_taken, "turns": turns_taken}[sys.argv[2]](database))
database.close()
"""


def reserve(spend: Spend, usd: float, budget: float | None) -> Reservation:
    return spend.reserve(
        ERRAND, ReservationRequest(uuid.uuid4(), "openai", "m", "chat", usd), budget
    )


def money_taken(database: Database) -> int:
    """Cents, of a day's dollar; without settling any."""
    spend, taken = Spend(database), 0
    while reserve(spend, 0.01, 1.0).attempt_id is not None:
        taken += 1
    return taken


def turns_taken(database: Database) -> int:
    """As many as there are."""
    taken = 0
    while pace_of(database, requests=600).acquire("default", 1, patience=0).taken:
        taken += 1
    return taken


@pytest.fixture
def spend(database: Database) -> Spend:
    pace_of(database).acquire("default", 0, patience=0)  # as every attempt does first
    return Spend(database)


def pace_of(database: Database, requests: int = 60, tokens: int = 600_000) -> RateLimiter:
    return RateLimiter(database, "openai", InitialLimits(requests, tokens))


def race(url: str, what: str, racers: int) -> list[int]:
    """What each of as many processes got."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, what],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(racers)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [int(process.communicate(timeout=60)[0]) for process in started]


def test_of_processes_that_race_for_the_last_cents_none_goes_over(
    fresh_database: Callable[[], str],
) -> None:
    url = fresh_database()
    database = Database(url)
    pace_of(database).acquire("default", 0, patience=0)
    assert sum(race(url, "money", 2)) == 100
    database.close()


def test_of_processes_that_race_for_the_last_turns_each_takes_its_own(
    fresh_database: Callable[[], str],
) -> None:
    url = fresh_database()
    database = Database(url)
    pace_of(database, requests=600).acquire("default", 1, patience=PATIENT)
    database.run(
        b"update provider_rate_limits set requests = 300"
    )  # so that it is never full meanwhile
    began = bucket(database)
    taken = sum(race(url, "turns", 2))
    ended = bucket(database)
    came_back = 600 * (ended["filled_at"] - began["filled_at"]).total_seconds() / 60
    assert taken >= 300
    assert ended["requests"] == pytest.approx(began["requests"] + came_back - taken)
    assert ended["requests"] >= 0
    database.close()


def bucket(database: Database) -> DictRow:
    row = database.row(b"select * from provider_rate_limits")
    assert row is not None
    return row


def test_turns_that_are_taken_ahead_are_one_after_the_other(database: Database) -> None:
    rate_limiter = pace_of(database, requests=3)
    waits = [rate_limiter.acquire("default", 1, patience=PATIENT).wait_seconds for _ in range(6)]
    assert waits == [0, 0, 0, *(pytest.approx(second, abs=9) for second in (20, 40, 60))]


def test_a_turn_further_off_than_patience_is_not_taken_and_costs_nothing(
    database: Database,
) -> None:
    rate_limiter = pace_of(database, requests=1)
    assert rate_limiter.acquire("default", 1, patience=0).taken
    for _ in range(5):
        turn = rate_limiter.acquire("default", 1, patience=10)
        assert not turn.taken
        assert turn.wait_seconds == pytest.approx(60, abs=5)


def test_a_request_of_more_tokens_than_a_minute_has_passes_and_the_next_waits(
    database: Database,
) -> None:
    rate_limiter = pace_of(database, tokens=1000)
    assert rate_limiter.acquire("default", 5000, patience=0).taken
    after = rate_limiter.acquire("default", 1000, patience=PATIENT)
    assert after.wait_seconds == pytest.approx(300, abs=5)


def test_a_pause_is_for_all_and_the_longest_one_counts(database: Database) -> None:
    rate_limiter, other = pace_of(database), pace_of(database)
    rate_limiter.acquire("default", 1, patience=0)
    until = rate_limiter.pause("default", 300)
    assert other.pause("default", 5) == until
    turn = other.acquire("default", 1, patience=PATIENT)
    assert turn.wait_seconds == pytest.approx(301, abs=3)
    assert rate_limiter.acquire("elsewhere", 1, patience=0).taken


def test_what_settings_say_counts_again_when_it_changes(database: Database) -> None:
    pace_of(database, requests=60).acquire("default", 1, patience=0)
    pace_of(database, requests=60).update_limits("default", ProviderLimits(requests_per_minute=7))
    pace_of(database, requests=60).acquire("default", 1, patience=0)
    assert bucket(database)["requests_per_minute"] == 7
    pace_of(database, requests=90).acquire("default", 1, patience=0)
    assert bucket(database)["requests_per_minute"] == 90


def test_what_is_said_to_be_left_is_never_more_than_we_have_ourselves(database: Database) -> None:
    rate_limiter = pace_of(database, requests=60)
    for _ in range(50):
        rate_limiter.acquire("default", 1, patience=0)
    rate_limiter.update_limits("default", ProviderLimits(requests_per_minute=60, requests_left=60))
    assert bucket(database)["requests"] < 20
    rate_limiter.update_limits("default", ProviderLimits(requests_per_minute=60, requests_left=2))
    assert bucket(database)["requests"] == 2


def test_what_was_reserved_and_not_used_is_there_again(spend: Spend) -> None:
    permit = reserve(spend, 0.9, 1.0)
    assert reserve(spend, 0.2, 1.0).refusal == "spent"
    assert permit.attempt_id is not None
    spend.settle("default", permit.attempt_id, Settlement(cost_usd=0.5))
    assert reserve(spend, 0.5, 1.0).attempt_id is not None
    assert reserve(spend, 0.0001, 1.0).refusal == "spent"


def test_what_a_crashed_worker_reserved_lapses(spend: Spend, database: Database) -> None:
    reserve(spend, 1.0, 1.0)  # and nobody settles it
    assert reserve(spend, 0.5, 1.0).refusal == "spent"
    database.run(b"update provider_attempts set expires_at = clock_timestamp()")
    assert reserve(spend, 1.0, 1.0).attempt_id is not None


def test_what_is_settled_after_its_reservation_lapsed_counts_all_the_same(
    spend: Spend, database: Database
) -> None:
    late = reserve(spend, 1.0, 1.0)
    database.run(b"update provider_attempts set expires_at = clock_timestamp()")
    assert late.attempt_id is not None
    spend.settle("default", late.attempt_id, Settlement(cost_usd=1.0))
    assert reserve(spend, 0.01, 1.0).refusal == "spent"


def test_an_attempt_is_settled_once(spend: Spend) -> None:
    permit = reserve(spend, 1.0, None)
    assert permit.attempt_id is not None
    for _ in range(2):
        spend.settle("default", permit.attempt_id, Settlement(cost_usd=0.25))
    assert spend.spent_today("default") == 0.25


def test_yesterdays_money_is_not_todays(spend: Spend, database: Database) -> None:
    late = reserve(spend, 1.0, 1.0)
    database.run(b"update provider_attempts set day = day - 1")
    assert reserve(spend, 1.0, 1.0).attempt_id is not None
    assert late.attempt_id is not None
    spend.settle("default", late.attempt_id, Settlement(cost_usd=1.0))
    assert spend.spent_today("default") == 0.0


def test_the_day_is_the_databases_whatever_this_clock_says(
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


def test_each_organisation_has_its_own_day(spend: Spend, database: Database) -> None:
    assert reserve(spend, 1.0, 1.0).attempt_id is not None
    pace_of(database).acquire("other", 0, patience=0)
    intended = ReservationRequest(uuid.uuid4(), "openai", "m", "chat", 1.0)
    assert spend.reserve(CallContext("other", "search"), intended, 1.0).attempt_id is not None
