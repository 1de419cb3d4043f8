"""Batches of provider requests: each is sent once, however a batch ends and workers die."""

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
    return BatchApi(queue, lambda _: client, ["openai"], cost_of=cent_per_token, quiet_seconds=0.0)


def cent_per_token(_batch: Batch, used: Usage) -> float:
    return used.input_tokens / 100


def make_request(text: str) -> BatchRequest:
    return BatchRequest("/v1/embeddings", {"model": "text-embedding-3-small", "input": [text]})


def enqueue_texts(queue: BatchQueue, recording: Recording, *texts: str) -> list[BatchRequest]:
    requests = [make_request(text) for text in texts]
    for request in requests:
        enqueue(queue, recording, request)
    return requests


def enqueue(
    queue: BatchQueue,
    recording: Recording,
    batch_request: BatchRequest,
    budget_usd: float | None = None,
) -> None:
    context = CallContext(recording.org_id, "embeddings", {recording.id: 1.0}, batch=True)
    queue.enqueue(context, "openai", batch_request, max_usd=0.02, budget_usd=budget_usd)


def received_lengths(
    queue: BatchQueue, recording: Recording, requests: list[BatchRequest]
) -> list[float]:
    """Return the lengths that came back."""
    answers = [queue.answer(recording.org_id, "openai", queued) for queued in requests]
    return [answer.body["data"][0]["embedding"][0] for answer in answers if answer]


def test_queued_requests_are_sent_in_one_batch_and_answered_by_name(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    requests = enqueue_texts(queue, recording, "one", "three", "seventeen")
    assert batches.sync().submitted == 1
    assert received_lengths(queue, recording, requests) == []
    assert batches.sync().answered == 3
    assert received_lengths(queue, recording, requests) == [3.0, 5.0, 9.0]
    assert len(account.batches) == 1


def test_equal_requests_are_sent_once(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    enqueue_texts(queue, recording, "one", "one")
    batches.sync()
    enqueue_texts(queue, recording, "one")
    batches.sync()
    enqueue_texts(queue, recording, "one")
    batches.sync()
    assert len(account.answered_ids) == 1


def test_expired_requests_of_a_batch_are_sent_again(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    requests = enqueue_texts(queue, recording, *"abcdef")
    account.expire_after = 3
    batches.sync()
    assert batches.sync().answered == 3
    batches.sync()
    batches.sync()
    assert len(received_lengths(queue, recording, requests)) == 6
    assert sorted(account.answered_ids) == sorted(queued.hash for queued in requests)


def test_batch_is_not_sent_twice_after_a_crash(
    queue: BatchQueue,
    batches: BatchApi,
    account: BatchAccount,
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = enqueue_texts(queue, recording, "one")

    def raise_interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue, "submitted", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            batches.sync()
    assert len(account.batches) == 1
    batches.sync()
    batches.sync()
    assert received_lengths(queue, recording, requests) == [3.0]
    assert len(account.batches) == 1


def test_rejected_request_does_not_affect_the_others(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    account.refuse_at = 0
    refused, good = enqueue_texts(queue, recording, "one", "two")
    batches.sync()
    batches.sync()
    assert queue.answer(recording.org_id, "openai", refused) == BatchAnswer(
        400, {"error": {"message": "no", "code": "bad"}}
    )
    assert received_lengths(queue, recording, [good]) == [3.0]


def test_request_is_sent_directly_after_the_maximum_of_batches(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    [queued] = enqueue_texts(queue, recording, "one")
    for _ in range(MAX_TRIES):
        assert not queue.should_send_directly(recording.org_id, "openai", queued)
        account.expire_after = 0
        batches.sync()
        batches.sync()
    assert queue.should_send_directly(recording.org_id, "openai", queued)
    assert batches.sync().submitted == 0


def test_provider_files_are_deleted_after_a_batch(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    enqueue_texts(queue, recording, "one")
    batches.sync()
    assert len(account.files) == 1
    batches.sync()
    assert account.files == {}


def test_requests_of_a_deleted_recording_are_removed(
    queue: BatchQueue, database: Database, batches: BatchApi, recording: Recording
) -> None:
    requests = enqueue_texts(queue, recording, "one", "two")
    batches.sync()
    RecordingDeletion(database).delete([recording.id])
    batches.sync()
    assert received_lengths(queue, recording, requests) == []


def test_requests_of_two_models_need_two_batches(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    enqueue_texts(queue, recording, "one")
    other = BatchRequest("/v1/embeddings", {"model": "other", "input": ["one"]})
    enqueue(queue, recording, other)
    assert batches.sync().submitted == 2
    assert len(account.batches) == 2


def test_batch_answers_are_recorded_once_with_their_recordings(
    queue: BatchQueue, batches: BatchApi, database: Database, recording: Recording
) -> None:
    enqueue_texts(queue, recording, "one", "two")
    batches.sync()
    batches.sync()
    batches.sync()
    [row] = Spend(database).sums("recording", org_id=None, since=None)
    assert (row.what, row.attempts, row.input_tokens) == (recording.id, 2, 2)
    assert row.cost_usd == pytest.approx(0.02)


def test_queued_requests_reserve_their_budget(
    queue: BatchQueue, batches: BatchApi, recording: Recording
) -> None:
    enqueue(queue, recording, make_request("one"), budget_usd=0.05)
    enqueue(queue, recording, make_request("two"), budget_usd=0.05)
    with pytest.raises(BudgetExceeded):
        enqueue(queue, recording, make_request("three"), budget_usd=0.05)
    enqueue(queue, recording, make_request("two"), budget_usd=0.05)
    batches.sync()
    batches.sync()
    enqueue(queue, recording, make_request("three"), budget_usd=0.05)


T = TypeVar("T")


class CountingClient:
    """A provider client that sends at once and counts its calls."""

    provider = "openai"

    def __init__(self) -> None:
        self.call_count = 0

    def execute(self, call: ProviderCall[T]) -> T:
        self.call_count += 1
        return call.send().value


def make_call(text: str) -> ProviderCall[float]:
    def read(content: bytes) -> Reply[float]:
        body = json.loads(content)
        if body["data"][0]["embedding"] == [13.0]:
            raise InvalidProviderResponse("Unlucky.", reply=content, remedy="")
        return Reply(body["data"][0]["embedding"][0], Usage())

    batch_request = make_request(text)
    deferrable = Deferrable(batch_request.endpoint, batch_request.body, read)
    return ProviderCall("embeddings", "m", Usage(10), lambda: Reply(-1.0, Usage()), deferrable)


def call_in_batch_mode(
    queue: BatchQueue, direct_client: CountingClient, recording: Recording, text: str
) -> float:
    provider_client = BatchingClient(
        direct_client, lambda: queue, cost_of=lambda *_: 0.0, budget_usd=None
    )
    with call_context(CallContext(recording.org_id, "embeddings", {recording.id: 1.0}, batch=True)):
        return provider_client.execute(make_call(text))


def test_batch_call_is_answered_only_by_a_batch(
    queue: BatchQueue, batches: BatchApi, recording: Recording
) -> None:
    direct_client = CountingClient()
    for _ in range(2):
        with pytest.raises(BatchPending):
            call_in_batch_mode(queue, direct_client, recording, "seven")
        batches.sync()
    assert call_in_batch_mode(queue, direct_client, recording, "seven") == 5.0
    assert direct_client.call_count == 0


@pytest.mark.parametrize("trouble", ["refused", "invalid"])
def test_call_falls_back_to_a_direct_request_after_a_useless_batch(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording, trouble: str
) -> None:
    direct_client, text = CountingClient(), "x" * (13 if trouble == "invalid" else 3)
    account.refuse_at = 0 if trouble == "refused" else None
    with pytest.raises(BatchPending):
        call_in_batch_mode(queue, direct_client, recording, text)
    batches.sync()
    batches.sync()
    assert call_in_batch_mode(queue, direct_client, recording, text) == -1.0
    assert direct_client.call_count == 1


def test_call_outside_batch_mode_is_direct(queue: BatchQueue, recording: Recording) -> None:
    direct_client = CountingClient()
    provider_client = BatchingClient(
        direct_client, lambda: queue, cost_of=lambda *_: 0.0, budget_usd=None
    )
    with call_context(CallContext(recording.org_id, "search")):
        assert provider_client.execute(make_call("seven")) == -1.0


def test_batches_are_not_sent_twice_by_two_processes(
    queue: BatchQueue, batches: BatchApi, account: BatchAccount, recording: Recording
) -> None:
    enqueue_texts(queue, recording, "one")
    with queue.exclusive() as locked:
        assert locked
        assert batches.sync() == SyncResult()
        assert account.batches == {}
    assert batches.sync().submitted == 1
