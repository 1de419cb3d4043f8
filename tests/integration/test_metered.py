"""The wire: what it does about trouble, and whom it lets through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.rows import DictRow

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import (
    BudgetExceeded,
    CircuitOpen,
    InvalidEngineOutput,
    InvalidProviderResponse,
    InvalidSettings,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from playhead.core.settings import Provider, Settings
from playhead.core.usage import Usage
from playhead.postgres.database import Database
from playhead.postgres.provider_use.rate_limits import InitialLimits
from playhead.postgres.provider_use.spend import Spend
from playhead.providers.client_protocol import ProviderCall, Reply
from playhead.providers.factory import open_client
from tests.support.provider_clients import AT_MOST, INVALID, USED, cent_per_token, open_provider
from tests.support.provider_error_table import HttpAnswer, error_answer

FAILED = error_answer(500)
STOPPED = error_answer(401, "invalid_api_key")


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    with call_context(CallContext("default", "search")):
        yield


def attempts(database: Database) -> list[DictRow]:
    return database.rows(b"select * from provider_attempts order by id")


def test_a_reply_that_is_believed_is_given_and_paid(database: Database) -> None:
    with open_provider(database) as openai:
        assert openai.call() == "chat.completion"
    [row] = attempts(database)
    assert (row["state"], row["http_status"], row["purpose"]) == ("done", 200, "search")
    assert (row["input_tokens"], row["output_tokens"]) == (10, 5)
    assert float(row["cost_usd"]) == 0.15
    assert spent_today(database) == 0.15


def spent_today(database: Database) -> float:
    return Spend(database).spent_today("default")


def test_seconds_of_trouble_are_waited_out_and_every_attempt_counts(database: Database) -> None:
    with open_provider(database, FAILED, error_answer(503), FAILED) as openai:
        assert openai.call() == "chat.completion"
        assert openai.slept == [0.01, 0.02, 0.04]
    rows = attempts(database)
    assert [row["http_status"] for row in rows] == [500, 503, 500, 200]
    assert [row["state"] for row in rows] == ["failed", "failed", "failed", "done"]
    assert len({row["call_id"] for row in rows}) == 1
    assert {row["error_class"] for row in rows[:3]} == {"ProviderUnavailable"}


def test_a_provider_that_stays_away_is_asked_five_times(database: Database) -> None:
    with open_provider(database, *[FAILED] * 9) as openai:
        with pytest.raises(ProviderUnavailable):
            openai.call()
        assert openai.script.request_count == 5


def test_an_input_that_is_refused_is_not_sent_again(database: Database) -> None:
    with open_provider(database, error_answer(400)) as openai:
        with pytest.raises(RequestRejected):
            openai.call()
        assert openai.script.request_count == 1
    assert attempts(database)[0]["error_class"] == "RequestRejected"


def test_an_error_of_the_adapters_own_is_in_the_books_and_raised(database: Database) -> None:
    def send() -> Reply[str]:
        raise InvalidEngineOutput("a bug", remedy="Mend it.")

    with open_provider(database) as openai, pytest.raises(InvalidEngineOutput):
        openai.provider_client.execute(ProviderCall("chat", "m", AT_MOST, send))
    assert attempts(database)[0]["error_class"] == "InvalidResult"


def test_a_refused_key_stops_the_provider_for_all_until_it_is_resumed(database: Database) -> None:
    with open_provider(database, STOPPED) as openai:
        for _ in range(3):
            with pytest.raises(CircuitOpen, match="invalid_api_key") as stopped:
                openai.call()
            assert stopped.value.until is None
        assert openai.script.request_count == 1
        [breaker] = openai.state.circuit_breakers.list_open()
        assert breaker.provider == "openai"
        assert openai.state.circuit_breakers.resume("default", "openai").was_open
        assert openai.call() == "chat.completion"


def test_another_organisation_is_not_stopped(database: Database) -> None:
    with open_provider(database, STOPPED) as openai:
        with pytest.raises(CircuitOpen):
            openai.call()
        with call_context(CallContext("other", "search")):
            assert openai.call() == "chat.completion"


def test_who_waits_for_a_turn_while_the_breaker_opens_does_not_send(database: Database) -> None:
    waiting, opened = threading.Event(), threading.Event()

    def sleep(_seconds: float) -> None:
        waiting.set()
        assert opened.wait(10)

    slow = InitialLimits(requests=60, tokens=1_000_000)
    with open_provider(database, initial_limits=slow, sleep=sleep) as openai:
        for _ in range(60):
            openai.state.rate_limiter.acquire("default", 1, patience=0)

        def ask() -> str:
            with call_context(CallContext("default", "search")):
                return openai.call()

        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(ask)
            assert waiting.wait(10)
            openai.state.circuit_breakers.open(
                "default", "openai", reason="No key.", remedy="Get one."
            )
            opened.set()
            with pytest.raises(CircuitOpen, match=r"No key\."):
                asked.result()
        assert openai.script.request_count == 0
    assert attempts(database) == []


def test_a_long_pause_is_the_pipelines_and_holds_for_all_workers(database: Database) -> None:
    with open_provider(database, error_answer(429, retry_after="600")) as openai:
        for _ in range(2):
            with pytest.raises(RateLimited) as limited:
                openai.call()
            until = limited.value.until
            assert until is not None
            left = until - datetime.now(UTC)
            assert timedelta(minutes=9) < left < timedelta(minutes=11)
        assert openai.script.request_count == 1
        assert openai.slept == []


def test_a_pause_longer_than_the_client_library_follows_is_followed(database: Database) -> None:
    with (
        open_provider(database, error_answer(429, retry_after="7200")) as openai,
        pytest.raises(RateLimited) as limited,
    ):
        openai.call()
    assert limited.value.until is not None
    assert limited.value.until - datetime.now(UTC) > timedelta(minutes=119)


def test_of_eight_threads_in_a_storm_of_429_all_get_through(database: Database) -> None:
    storm = [error_answer(429, retry_after_ms="100")] * 12
    with open_provider(database, *storm, sleep=time.sleep) as openai:

        def ask(_number: int) -> str:
            with call_context(CallContext("default", "search")):
                return openai.call()

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(8))) == ["chat.completion"] * 8
    rows = attempts(database)
    assert [row["http_status"] for row in rows].count(429) == 12
    assert [row["state"] for row in rows].count("done") == 8


def test_a_storm_that_does_not_end_lays_the_work_aside(database: Database) -> None:
    storm = [error_answer(429)] * 99
    with open_provider(database, *storm, sleep=time.sleep) as openai:
        with pytest.raises(RateLimited):
            openai.call()
        assert openai.script.request_count == 5
        with pytest.raises(RateLimited):  # and whoever comes next does not even ask
            openai.call()
        assert openai.script.request_count == 5


def test_one_request_that_is_out_of_luck_lays_nobody_elses_work_aside(database: Database) -> None:
    trouble = [*[FAILED] * 4, error_answer(429)]
    with open_provider(database, *trouble, sleep=time.sleep) as openai:
        with pytest.raises(ProviderUnavailable):
            openai.call()
        assert openai.call() == "chat.completion"


def test_a_reply_that_is_not_believed_is_asked_for_once_more(database: Database) -> None:
    with open_provider(database, INVALID) as openai:
        assert openai.call() == "chat.completion"
        assert openai.state.quarantine.replies("default") == []
    lie, good = attempts(database)
    assert (lie["error_class"], good["error_class"]) == ("ReplyNotBelieved", None)
    assert float(lie["cost_usd"]) == 0.10, "it was billed, and says for what"


def test_a_second_reply_that_is_not_believed_is_kept_for_a_person(database: Database) -> None:
    with open_provider(database, INVALID, INVALID) as openai:
        with pytest.raises(InvalidProviderResponse):
            openai.call()
        assert openai.script.request_count == 2
        [kept] = openai.state.quarantine.replies("default")
        assert openai.state.quarantine.reply("default", kept.id) == INVALID.body
        openai.state.quarantine.delete("default", kept.id)
        assert openai.state.quarantine.replies("default") == []


def test_no_request_is_sent_that_might_cost_more_than_is_left_of_the_day(
    database: Database,
) -> None:
    with open_provider(database, budget_usd=0.70) as openai:  # 0.15 each, 0.40 at most
        for _ in range(3):
            openai.call()
        with pytest.raises(BudgetExceeded) as spent:
            openai.call()
        assert openai.script.request_count == 3
    until = spent.value.until
    assert until is not None
    assert until.astimezone(UTC).time().isoformat() == "00:00:00"
    assert timedelta(0) < until - datetime.now(UTC) <= timedelta(days=1)


def test_what_costs_nothing_is_sent_when_the_money_is_spent(database: Database) -> None:
    with open_provider(database, budget_usd=0.0) as openai:
        with pytest.raises(BudgetExceeded):
            openai.call()
        free = ProviderCall("models", "m", Usage(), lambda: Reply("free", Usage()))
        assert openai.provider_client.execute(free) == "free"


def test_what_the_provider_says_of_its_limits_is_followed(database: Database) -> None:
    said = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    with open_provider(database) as openai:
        openai.provider_client.execute(
            ProviderCall("chat", "m", AT_MOST, lambda: Reply("a", USED, said))
        )
        openai.call()
        assert openai.slept == [pytest.approx(1.0, abs=0.5)]


def test_a_question_waits_for_seconds_where_a_recording_waits_for_a_minute(
    database: Database,
) -> None:
    with open_provider(
        database, initial_limits=InitialLimits(requests=1, tokens=1_000_000)
    ) as openai:
        openai.call()
        with pytest.raises(RateLimited):
            openai.call()
        assert openai.slept == []
        with call_context(CallContext("default", "document")):
            openai.call()
        assert openai.slept == [pytest.approx(60, abs=50)]


def test_a_question_that_gives_up_early_holds_nobody_longer_than_was_asked(
    database: Database,
) -> None:
    with open_provider(database, error_answer(429, retry_after="10")) as openai:
        with pytest.raises(RateLimited) as limited:
            openai.call()
        assert limited.value.until is not None
        assert limited.value.until - datetime.now(UTC) < timedelta(seconds=11)


def test_an_engine_that_works_for_nobody_asks_nothing(database: Database) -> None:
    with open_provider(database) as openai:
        failed: list[type[BaseException]] = []

        def ask() -> None:
            try:
                openai.call()
            except LookupError as error:
                failed.append(type(error))

        thread = threading.Thread(target=ask)  # has no errand: contexts are not handed on
        thread.start()
        thread.join()
        assert failed == [LookupError]
        assert openai.script.request_count == 0


def test_a_status_without_a_body_is_trouble_as_well(database: Database) -> None:
    with open_provider(database, HttpAnswer(504)) as openai:
        assert openai.call() == "chat.completion"


def test_wires_of_one_installation_share_their_books(settings: Settings) -> None:
    limited = settings.model_copy(
        update={"daily_budget_usd": 0.5, "providers": {"mine": Provider(requests_per_minute=7)}}
    )
    client, other = (open_client("mine", limited, cent_per_token) for _ in range(2))
    ask = ProviderCall("chat", "m", AT_MOST, lambda: Reply("a", USED))
    assert client.execute(ask) == "a"
    with pytest.raises(BudgetExceeded):
        other.execute(ask)
    database = Database(str(settings.database_url))
    assert [row["provider"] for row in attempts(database)] == ["mine"]
    assert database.rows(b"select set_requests from provider_rate_limits") == [{"set_requests": 7}]
    database.close()


def test_a_provider_that_nobody_described_has_no_wire(settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match="nobody"):
        open_client("nobody", settings, cent_per_token)
