"""Batches: what may wait is asked once, however a batch ends and wherever a worker dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

import openai
import pytest

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import BatchPending, BudgetExceeded, InvalidProviderResponse
from playhead.core.records import Recording
from playhead.core.usage import Usage
from playhead.postgres.database import Database
from playhead.postgres.deletion.rows import RecordingDeletion
from playhead.postgres.provider_use.batch_queue import (
    MAX_TRIES,
    Batch,
    BatchAnswer,
    BatchQueue,
    BatchRequest,
)
from playhead.postgres.provider_use.spend import Spend
from playhead.providers.batch_api import BatchApi, SyncResult
from playhead.providers.batching_client import BatchingClient
from playhead.providers.client_protocol import Deferrable, ProviderCall, Reply
from tests.support.batch_server import BatchAccount, batch_server


@pytest.fixture
def account() -> Iterator[BatchAccount]:
    with batch_server() as account:
        yield account


@pytest.fixture
def queue(database: Database) -> BatchQueue:
    return BatchQueue(database)


@pytest.fixture
def client(account: BatchAccount) -> openai.OpenAI:
    return openai.OpenAI(api_key="key", base_url=account.url, max_retries=0)


@pytest.fixture
def batches(queue: BatchQueue, client: openai.OpenAI) -> BatchApi:
    return BatchApi(queue, lambda _: client, ["openai"], cost_of=a_cent_a_token, quiet_seconds=0.0)


def a_cent_a_token(_batch: Batch, used: Usage) -> float:
    return used.input_tokens / 100


def request(text: str) -> BatchRequest:
    return BatchRequest("/v1/embeddings", {"model": "text-embedding-3-small", "input": [text]})


def put(queue: BatchQueue, recording: Recording, *texts: str) -> list[BatchRequest]:
    requests = [request(text) for text in texts]
    for queued in requests:
        defer(queue, recording, queued)
    return requests


def defer(
    queue: BatchQueue,
    recording: Recording,
    batch_request: BatchRequest,
    budget_usd: float | None = None,
) -> None:
    context = CallContext(recording.org_id, "embeddings", {recording.id: 1.0}, batch=True)
    queue.enqueue(context, "openai", batch_request, max_usd=0.02, budget_usd=budget_usd)


def answered(queue: BatchQueue, recording: Recording, requests: list[BatchRequest]) -> list[float]:
    """The lengths that came back."""
    answers = [queue.answer(recording.org_id, "openai", queued) for queued in requests]
    return [answer.body["data"][0]["embedding"][0] for answer in answers if answer]


def test_what_waits_is_asked_in_one_batch_and_answered_by_name(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    requests = put(queue, recording, "one", "three", "seventeen")
    assert batches.sync().submitted == 1
    assert answered(queue, recording, requests) == []
    assert batches.sync().answered == 3
    assert answered(queue, recording, requests) == [3.0, 5.0, 9.0]
    assert len(account.batches) == 1


def test_the_same_request_twice_is_asked_once(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    put(queue, recording, "one", "one")
    batches.sync()
    put(queue, recording, "one")
    batches.sync()
    put(queue, recording, "one")
    batches.sync()
    assert len(account.answered_ids) == 1


def test_the_half_that_expired_is_asked_again_and_the_other_is_not(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    requests = put(queue, recording, *"abcdef")
    account.expire_after = 3
    batches.sync()
    assert batches.sync().answered == 3
    batches.sync()
    batches.sync()
    assert len(answered(queue, recording, requests)) == 6
    assert sorted(account.answered_ids) == sorted(queued.hash for queued in requests)


def test_a_crash_after_the_provider_took_the_batch_pays_for_no_second(
    queue: BatchQueue,
    batches: BatchApi,
    account: BatchAccount,
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = put(queue, recording, "one")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(queue, "submitted", dies)
        with pytest.raises(KeyboardInterrupt):
            batches.sync()
    assert len(account.batches) == 1
    batches.sync()
    batches.sync()
    assert answered(queue, recording, requests) == [3.0]
    assert len(account.batches) == 1


def test_a_refusal_is_kept_as_the_answer_of_its_request_alone(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    account.refuse_at = 0
    refused, good = put(queue, recording, "one", "two")
    batches.sync()
    batches.sync()
    assert queue.answer(recording.org_id, "openai", refused) == BatchAnswer(
        400, {"error": {"message": "no", "code": "bad"}}
    )
    assert answered(queue, recording, [good]) == [3.0]


def test_what_no_batch_answers_is_given_up_to_be_asked_alone(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    [queued] = put(queue, recording, "one")
    for _ in range(MAX_TRIES):
        assert not queue.should_send_directly(recording.org_id, "openai", queued)
        account.expire_after = 0
        batches.sync()
        batches.sync()
    assert queue.should_send_directly(recording.org_id, "openai", queued)
    assert batches.sync().submitted == 0


def test_no_words_stay_with_the_provider_once_a_batch_is_over(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    put(queue, recording, "one")
    batches.sync()
    assert len(account.files) == 1
    batches.sync()
    assert account.files == {}


def test_a_forgotten_recording_leaves_no_request(
    queue: BatchQueue, database: Database, batches: BatchApi, recording: Recording
) -> None:
    requests = put(queue, recording, "one", "two")
    batches.sync()
    RecordingDeletion(database).delete([recording.id])
    batches.sync()
    assert answered(queue, recording, requests) == []


def test_requests_of_two_models_go_in_two_batches(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    put(queue, recording, "one")
    other = BatchRequest("/v1/embeddings", {"model": "other", "input": ["one"]})
    defer(queue, recording, other)
    assert batches.sync().submitted == 2
    assert len(account.batches) == 2


def test_an_answer_is_in_the_books_once_and_its_recordings(
    queue: BatchQueue, batches: BatchApi, database: Database, recording: Recording
) -> None:
    put(queue, recording, "one", "two")
    batches.sync()
    batches.sync()
    batches.sync()
    [spent] = Spend(database).sums("recording", org_id=None, since=None)
    assert (spent.what, spent.attempts, spent.input_tokens) == (recording.id, 2, 2)
    assert spent.cost_usd == pytest.approx(0.02)


def test_what_waits_holds_its_money_until_it_is_answered(
    queue: BatchQueue, batches: BatchApi, recording: Recording
) -> None:
    defer(queue, recording, request("one"), budget_usd=0.05)
    defer(queue, recording, request("two"), budget_usd=0.05)
    with pytest.raises(BudgetExceeded):
        defer(queue, recording, request("three"), budget_usd=0.05)
    defer(queue, recording, request("two"), budget_usd=0.05)
    batches.sync()
    batches.sync()
    defer(queue, recording, request("three"), budget_usd=0.05)


T = TypeVar("T")


class Direct:
    """A wire that answers at once, and counts."""

    provider = "openai"

    def __init__(self) -> None:
        self.asked = 0

    def execute(self, call: ProviderCall[T]) -> T:
        self.asked += 1
        return call.send().value


def asked(text: str) -> ProviderCall[float]:
    def read(content: bytes) -> Reply[float]:
        body = json.loads(content)
        if body["data"][0]["embedding"] == [13.0]:
            raise InvalidProviderResponse("Unlucky.", reply=content, remedy="")
        return Reply(body["data"][0]["embedding"][0], Usage())

    wanted = request(text)
    deferrable = Deferrable(wanted.endpoint, wanted.body, read)
    return ProviderCall("embeddings", "m", Usage(10), lambda: Reply(-1.0, Usage()), deferrable)


def patiently(queue: BatchQueue, direct: Direct, recording: Recording, text: str) -> float:
    provider_client = BatchingClient(direct, lambda: queue, cost_of=lambda *_: 0.0, budget_usd=None)
    with call_context(CallContext(recording.org_id, "embeddings", {recording.id: 1.0}, batch=True)):
        return provider_client.execute(asked(text))


def test_a_patient_call_is_answered_by_a_batch_and_nobody_else(
    queue: BatchQueue, batches: BatchApi, recording: Recording
) -> None:
    direct = Direct()
    for _ in range(2):
        with pytest.raises(BatchPending):
            patiently(queue, direct, recording, "seven")
        batches.sync()
    assert patiently(queue, direct, recording, "seven") == 5.0
    assert direct.asked == 0


@pytest.mark.parametrize("trouble", ["refused", "not believed"])
def test_a_batch_that_was_of_no_use_is_made_up_for_directly(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording, trouble: str
) -> None:
    direct, text = Direct(), "x" * (13 if trouble == "not believed" else 3)
    account.refuse_at = 0 if trouble == "refused" else None
    with pytest.raises(BatchPending):
        patiently(queue, direct, recording, text)
    batches.sync()
    batches.sync()
    assert patiently(queue, direct, recording, text) == -1.0
    assert direct.asked == 1


def test_who_is_not_patient_waits_for_no_batch(queue: BatchQueue, recording: Recording) -> None:
    direct = Direct()
    provider_client = BatchingClient(direct, lambda: queue, cost_of=lambda *_: 0.0, budget_usd=None)
    with call_context(CallContext(recording.org_id, "search")):
        assert provider_client.execute(asked("seven")) == -1.0


def test_two_who_carry_batches_at_once_send_none_twice(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    put(queue, recording, "one")
    with queue.exclusive() as mine:
        assert mine
        assert batches.sync() == SyncResult()
        assert account.batches == {}
    assert batches.sync().submitted == 1
