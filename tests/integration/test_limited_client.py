"""The limited provider client: retries, rate limits, budgets and the circuit breaker."""

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
from playhead.providers.clients import open_client
from tests.support.provider_clients import AT_MOST, INVALID, USED, cent_per_token, open_provider
from tests.support.provider_error_table import HttpAnswer, error_answer

FAILED = error_answer(500)
STOPPED = error_answer(401, "invalid_api_key")


@pytest.fixture(autouse=True)
def search_context() -> Iterator[None]:
    with call_context(CallContext("default", "search")):
        yield


def attempts(database: Database) -> list[DictRow]:
    return database.rows(b"select * from provider_attempts order by id")


def test_valid_reply_is_returned_and_charged(database: Database) -> None:
    with open_provider(database) as openai:
        assert openai.call() == "chat.completion"
    [row] = attempts(database)
    assert (row["state"], row["http_status"], row["purpose"]) == ("done", 200, "search")
    assert (row["input_tokens"], row["output_tokens"]) == (10, 5)
    assert float(row["cost_usd"]) == 0.15
    assert spent_today(database) == 0.15


def spent_today(database: Database) -> float:
    return Spend(database).spent_today("default")


def test_transient_errors_are_retried_and_recorded(database: Database) -> None:
    with open_provider(database, FAILED, error_answer(503), FAILED) as openai:
        assert openai.call() == "chat.completion"
        assert openai.slept == [0.01, 0.02, 0.04]
    rows = attempts(database)
    assert [row["http_status"] for row in rows] == [500, 503, 500, 200]
    assert [row["state"] for row in rows] == ["failed", "failed", "failed", "done"]
    assert len({row["call_id"] for row in rows}) == 1
    assert {row["error_class"] for row in rows[:3]} == {"ProviderUnavailable"}


def test_failing_provider_is_called_five_times(database: Database) -> None:
    with open_provider(database, *[FAILED] * 9) as openai:
        with pytest.raises(ProviderUnavailable):
            openai.call()
        assert openai.script.request_count == 5


def test_rejected_input_is_not_sent_again(database: Database) -> None:
    with open_provider(database, error_answer(400)) as openai:
        with pytest.raises(RequestRejected):
            openai.call()
        assert openai.script.request_count == 1
    assert attempts(database)[0]["error_class"] == "RequestRejected"


def test_error_of_the_adapter_is_recorded_and_raised(database: Database) -> None:
    def send() -> Reply[str]:
        raise InvalidEngineOutput("a bug", remedy="Mend it.")

    with open_provider(database) as openai, pytest.raises(InvalidEngineOutput):
        openai.provider_client.execute(ProviderCall("chat", "m", AT_MOST, send))
    assert attempts(database)[0]["error_class"] == "InvalidEngineOutput"


def test_rejected_key_opens_the_circuit_breaker_until_resumed(database: Database) -> None:
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


def test_circuit_breaker_is_per_organisation(database: Database) -> None:
    with open_provider(database, STOPPED) as openai:
        with pytest.raises(CircuitOpen):
            openai.call()
        with call_context(CallContext("other", "search")):
            assert openai.call() == "chat.completion"


def test_call_waiting_for_a_rate_limit_is_not_sent_after_the_breaker_opens(
    database: Database,
) -> None:
    waiting, opened = threading.Event(), threading.Event()

    def sleep(_seconds: float) -> None:
        waiting.set()
        assert opened.wait(10)

    slow = InitialLimits(requests=60, tokens=1_000_000)
    with open_provider(database, initial_limits=slow, sleep=sleep) as openai:
        for _ in range(60):
            openai.state.rate_limiter.acquire("default", 1, max_wait_seconds=0)

        def call() -> str:
            with call_context(CallContext("default", "search")):
                return openai.call()

        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(call)
            assert waiting.wait(10)
            openai.state.circuit_breakers.open(
                "default", "openai", reason="No key.", remedy="Get one."
            )
            opened.set()
            with pytest.raises(CircuitOpen, match=r"No key\."):
                future.result()
        assert openai.script.request_count == 0
    assert attempts(database) == []


def test_long_pause_is_raised_and_applies_to_all_workers(database: Database) -> None:
    with open_provider(database, error_answer(429, retry_after="600")) as openai:
        for _ in range(2):
            with pytest.raises(RateLimited) as limited:
                openai.call()
            until = limited.value.until
            assert until is not None
            remaining = until - datetime.now(UTC)
            assert timedelta(minutes=9) < remaining < timedelta(minutes=11)
        assert openai.script.request_count == 1
        assert openai.slept == []


def test_pause_longer_than_the_client_library_allows_is_respected(database: Database) -> None:
    with (
        open_provider(database, error_answer(429, retry_after="7200")) as openai,
        pytest.raises(RateLimited) as limited,
    ):
        openai.call()
    assert limited.value.until is not None
    assert limited.value.until - datetime.now(UTC) > timedelta(minutes=119)


def test_eight_threads_survive_repeated_429(database: Database) -> None:
    rate_limits = [error_answer(429, retry_after_ms="100")] * 12
    with open_provider(database, *rate_limits, sleep=time.sleep) as openai:

        def call(_number: int) -> str:
            with call_context(CallContext("default", "search")):
                return openai.call()

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(call, range(8))) == ["chat.completion"] * 8
    rows = attempts(database)
    assert [row["http_status"] for row in rows].count(429) == 12
    assert [row["state"] for row in rows].count("done") == 8


def test_endless_429_parks_the_work(database: Database) -> None:
    rate_limits = [error_answer(429)] * 99
    with open_provider(database, *rate_limits, sleep=time.sleep) as openai:
        with pytest.raises(RateLimited):
            openai.call()
        assert openai.script.request_count == 5
        with pytest.raises(RateLimited):  # the next caller sends no request
            openai.call()
        assert openai.script.request_count == 5


def test_single_429_after_errors_does_not_pause_others(database: Database) -> None:
    answers = [*[FAILED] * 4, error_answer(429)]
    with open_provider(database, *answers, sleep=time.sleep) as openai:
        with pytest.raises(ProviderUnavailable):
            openai.call()
        assert openai.call() == "chat.completion"


def test_invalid_reply_is_retried_once(database: Database) -> None:
    with open_provider(database, INVALID) as openai:
        assert openai.call() == "chat.completion"
        assert openai.state.quarantine.replies("default") == []
    invalid, good = attempts(database)
    assert (invalid["error_class"], good["error_class"]) == ("InvalidProviderResponse", None)
    assert float(invalid["cost_usd"]) == 0.10, "it was billed, and says for what"


def test_second_invalid_reply_is_quarantined(database: Database) -> None:
    with open_provider(database, INVALID, INVALID) as openai:
        with pytest.raises(InvalidProviderResponse):
            openai.call()
        assert openai.script.request_count == 2
        [reply] = openai.state.quarantine.replies("default")
        assert openai.state.quarantine.reply("default", reply.id) == INVALID.body
        openai.state.quarantine.delete("default", reply.id)
        assert openai.state.quarantine.replies("default") == []


def test_call_that_may_exceed_the_daily_budget_is_not_sent(
    database: Database,
) -> None:
    with open_provider(database, budget_usd=0.70) as openai:  # 0.15 each, 0.40 at most
        for _ in range(3):
            openai.call()
        with pytest.raises(BudgetExceeded) as exceeded:
            openai.call()
        assert openai.script.request_count == 3
    until = exceeded.value.until
    assert until is not None
    assert until.astimezone(UTC).time().isoformat() == "00:00:00"
    assert timedelta(0) < until - datetime.now(UTC) <= timedelta(days=1)


def test_free_call_is_sent_with_a_spent_budget(database: Database) -> None:
    with open_provider(database, budget_usd=0.0) as openai:
        with pytest.raises(BudgetExceeded):
            openai.call()
        free = ProviderCall("models", "m", Usage(), lambda: Reply("free", Usage()))
        assert openai.provider_client.execute(free) == "free"


def test_rate_limits_of_response_headers_are_adopted(database: Database) -> None:
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    with open_provider(database) as openai:
        openai.provider_client.execute(
            ProviderCall("chat", "m", AT_MOST, lambda: Reply("a", USED, headers))
        )
        openai.call()
        assert openai.slept == [pytest.approx(1.0, abs=0.5)]


def test_interactive_call_waits_seconds_and_a_stage_a_minute(
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


def test_short_wait_of_an_interactive_call_does_not_extend_the_pause(
    database: Database,
) -> None:
    with open_provider(database, error_answer(429, retry_after="10")) as openai:
        with pytest.raises(RateLimited) as limited:
            openai.call()
        assert limited.value.until is not None
        assert limited.value.until - datetime.now(UTC) < timedelta(seconds=11)


def test_call_without_a_context_is_not_sent(database: Database) -> None:
    with open_provider(database) as openai:
        failed: list[type[BaseException]] = []

        def call() -> None:
            try:
                openai.call()
            except LookupError as error:
                failed.append(type(error))

        thread = threading.Thread(target=call)  # has no call context: threads do not inherit it
        thread.start()
        thread.join()
        assert failed == [LookupError]
        assert openai.script.request_count == 0


def test_status_without_a_body_is_retried(database: Database) -> None:
    with open_provider(database, HttpAnswer(504)) as openai:
        assert openai.call() == "chat.completion"


def test_clients_of_one_installation_share_limits_and_budget(settings: Settings) -> None:
    limited = settings.model_copy(
        update={"daily_budget_usd": 0.5, "providers": {"mine": Provider(requests_per_minute=7)}}
    )
    client, other = (open_client("mine", limited, cent_per_token) for _ in range(2))
    call = ProviderCall("chat", "m", AT_MOST, lambda: Reply("a", USED))
    assert client.execute(call) == "a"
    with pytest.raises(BudgetExceeded):
        other.execute(call)
    database = Database(str(settings.database_url))
    assert [row["provider"] for row in attempts(database)] == ["mine"]
    limits = database.rows(b"select configured_requests from provider_rate_limits")
    assert limits == [{"configured_requests": 7}]
    database.close()


def test_unknown_provider_has_no_client(settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match="nobody"):
        open_client("nobody", settings, cent_per_token)
