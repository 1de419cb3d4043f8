"""Every answer of a provider leads to the verdict that is promised, at every endpoint."""

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
    Answer,
    client_of,
    serving,
)

ASKED = RequestInfo("openai", "m", "chat")


@pytest.fixture(scope="module")
def table() -> dict[str, dict[Endpoint, str]]:
    return provider_error_table.measured()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("answer", [*ANSWERS, provider_error_table.NOBODY])
def test_an_answer_leads_to_its_verdict(
    table: dict[str, dict[Endpoint, str]], answer: str, endpoint: Endpoint
) -> None:
    promised = ANSWERS[answer][1] if answer in ANSWERS else provider_error_table.AGAIN
    assert table[answer][endpoint] == promised


def test_the_page_of_verdicts_says_what_is_measured(
    table: dict[str, dict[Endpoint, str]],
) -> None:
    assert DOCUMENT.read_text("utf-8") == provider_error_table.document(table)


def verdict_of(answer: Answer) -> RetryDecision:
    with serving(lambda _path: answer) as url, client_of(url) as client:
        try:
            provider_error_table.send(client, "chat")
        except Exception as error:
            verdict = classify_error(error, ASKED)
            assert verdict is not None
            return verdict
    raise AssertionError("it was believed")


def test_what_stops_a_provider_never_quotes_its_words() -> None:
    verdict = verdict_of(provider_error_table.error(401, message="Wrong key: sk-secret"))
    assert isinstance(verdict.error, CircuitOpen)
    assert "sk-secret" not in f"{verdict.error}{verdict.error.remedy}"
    assert verdict.error.until is None
    assert "playhead engines resume openai" in verdict.error.remedy


def test_a_refusal_tells_the_providers_reason_but_not_without_end() -> None:
    verdict = verdict_of(provider_error_table.error(400, message="Too odd. " + "x" * 10_000))
    assert isinstance(verdict.error, RequestRejected)
    assert "Too odd." in str(verdict.error)
    assert len(str(verdict.error)) < 500


def test_a_reply_that_is_no_json_is_kept_as_it_came() -> None:
    verdict = verdict_of(Answer(200, b'{"choices": [{"mess'))
    assert isinstance(verdict.error, InvalidProviderResponse)
    assert verdict.error.reply == b'{"choices": [{"mess'


def test_an_answer_whose_fields_are_no_words_is_judged_by_its_status() -> None:
    odd = json.dumps({"error": {"message": ["a"], "type": 7, "code": {"a": 1}}}).encode()
    assert verdict_of(Answer(500, odd)).action == "again"
    assert verdict_of(Answer(400, odd)).action == "refuse"


def test_an_error_that_is_not_the_providers_gets_no_verdict() -> None:
    assert classify_error(KeyError("a"), ASKED) is None


def test_what_the_client_will_not_even_send_is_refused() -> None:
    verdict = classify_error(openai.OpenAIError("Missing credentials."), ASKED)
    assert verdict is not None
    assert verdict.action == "refuse"


def within_stream(*events: bytes, cut: int | None = None) -> RetryDecision:
    """The verdict on a stream that begins well."""
    body = b"".join(b"data: " + event + b"\n\n" for event in (b'{"choices": []}', *events))
    answer = Answer(200, body, {"content-type": "text/event-stream"}, cut)
    with serving(lambda _path: answer) as url, client_of(url) as client:
        try:
            for _chunk in client.chat.completions.create(model="m", messages=[], stream=True):
                pass
        except Exception as error:
            verdict = classify_error(error, ASKED)
            assert verdict is not None
            return verdict
    raise AssertionError("it was believed")


def test_a_stream_that_breaks_off_is_asked_for_again() -> None:
    assert within_stream(b'{"choices": []}', cut=30).action == "again"


def test_a_server_error_within_a_stream_is_trouble() -> None:
    assert within_stream(b'{"error": {"type": "server_error", "code": "x"}}').action == "again"


def test_a_billing_error_within_a_stream_stops_the_provider() -> None:
    verdict = within_stream(b'{"error": {"type": "a", "code": "insufficient_quota"}}')
    assert verdict.action == "stop"


def test_an_event_that_is_no_json_is_not_believed() -> None:
    assert within_stream(b'{"choi').action == "doubt"
