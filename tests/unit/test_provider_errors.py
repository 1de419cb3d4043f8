"""Every answer of a provider is classified as the table says, at every endpoint."""

from __future__ import annotations

import json

import openai
import pytest

from playhead.core.errors import CircuitOpen, InvalidProviderResponse, RequestRejected
from playhead.core.usage import Endpoint
from playhead.providers.error_classification import RequestInfo, RetryDecision, classify_error
from tests.support import provider_error_table
from tests.support.provider_error_table import (
    ANSWERS,
    DOCUMENT,
    ENDPOINTS,
    HttpAnswer,
    open_client,
    serve_answers,
)

REQUEST = RequestInfo("openai", "m", "chat")


@pytest.fixture(scope="module")
def table() -> dict[str, dict[Endpoint, str]]:
    return provider_error_table.measure()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("answer", [*ANSWERS, provider_error_table.NO_LISTENER])
def test_answer_is_classified_as_expected(
    table: dict[str, dict[Endpoint, str]], answer: str, endpoint: Endpoint
) -> None:
    expected = ANSWERS[answer][1] if answer in ANSWERS else provider_error_table.RETRY
    assert table[answer][endpoint] == expected


def test_page_of_provider_errors_matches_the_measurements(
    table: dict[str, dict[Endpoint, str]],
) -> None:
    assert DOCUMENT.read_text("utf-8") == provider_error_table.render_page(table)


def classify_answer(answer: HttpAnswer) -> RetryDecision:
    with serve_answers(lambda _path: answer) as url, open_client(url) as client:
        try:
            provider_error_table.send(client, "chat")
        except Exception as error:
            decision = classify_error(error, REQUEST)
            assert decision is not None
            return decision
    raise AssertionError("it was accepted")


def test_error_that_stops_a_provider_never_quotes_it() -> None:
    decision = classify_answer(
        provider_error_table.error_answer(401, message="Wrong key: sk-secret")
    )
    assert isinstance(decision.error, CircuitOpen)
    assert "sk-secret" not in f"{decision.error}{decision.error.remedy}"
    assert decision.error.until is None
    assert "playhead engines resume openai" in decision.error.remedy


def test_rejection_quotes_the_reason_up_to_a_limit() -> None:
    decision = classify_answer(
        provider_error_table.error_answer(400, message="Too odd. " + "x" * 10_000)
    )
    assert isinstance(decision.error, RequestRejected)
    assert "Too odd." in str(decision.error)
    assert len(str(decision.error)) < 500


def test_reply_that_is_not_json_is_stored_unchanged() -> None:
    decision = classify_answer(HttpAnswer(200, b'{"choices": [{"mess'))
    assert isinstance(decision.error, InvalidProviderResponse)
    assert decision.error.reply == b'{"choices": [{"mess'


def test_error_with_unexpected_field_types_is_classified_by_status() -> None:
    odd = json.dumps({"error": {"message": ["a"], "type": 7, "code": {"a": 1}}}).encode()
    assert classify_answer(HttpAnswer(500, odd)).action == "again"
    assert classify_answer(HttpAnswer(400, odd)).action == "refuse"


def test_unrelated_error_is_not_classified() -> None:
    assert classify_error(KeyError("a"), REQUEST) is None


def test_request_that_the_client_will_not_send_is_refused() -> None:
    decision = classify_error(openai.OpenAIError("Missing credentials."), REQUEST)
    assert decision is not None
    assert decision.action == "refuse"


def classify_stream(*events: bytes, truncate_at: int | None = None) -> RetryDecision:
    """Return the decision for a stream that begins well."""
    body = b"".join(b"data: " + event + b"\n\n" for event in (b'{"choices": []}', *events))
    answer = HttpAnswer(200, body, {"content-type": "text/event-stream"}, truncate_at)
    with serve_answers(lambda _path: answer) as url, open_client(url) as client:
        try:
            for _chunk in client.chat.completions.create(model="m", messages=[], stream=True):
                pass
        except Exception as error:
            decision = classify_error(error, REQUEST)
            assert decision is not None
            return decision
    raise AssertionError("it was accepted")


def test_broken_stream_is_retried() -> None:
    assert classify_stream(b'{"choices": []}', truncate_at=30).action == "again"


def test_server_error_within_a_stream_is_retried() -> None:
    assert classify_stream(b'{"error": {"type": "server_error", "code": "x"}}').action == "again"


def test_billing_error_within_a_stream_stops_the_provider() -> None:
    decision = classify_stream(b'{"error": {"type": "a", "code": "insufficient_quota"}}')
    assert decision.action == "stop"


def test_stream_event_that_is_not_json_is_rejected() -> None:
    assert classify_stream(b'{"choi').action == "doubt"
