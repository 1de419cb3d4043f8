"""Batches against aimock's Files and Batch APIs, over a real socket.

Its answers are canned; these tests cover the way to the provider and back.
"""

from __future__ import annotations

import openai
import pytest

from playhead.core.call_context import CallContext
from playhead.core.records import Recording
from playhead.postgres.database import Database
from playhead.postgres.provider_use.batch_queue import BatchQueue, BatchRequest
from playhead.providers.batch_api import BatchApi, SyncResult


@pytest.fixture
def queue(database: Database) -> BatchQueue:
    return BatchQueue(database)


def open_batch_api(queue: BatchQueue, aimock: str, **headers: str) -> BatchApi:
    client = openai.OpenAI(
        api_key="key", base_url=aimock, max_retries=0, default_headers=headers or None
    )
    return BatchApi(queue, lambda _: client, ["openai"], cost_of=lambda *_: 0.0, quiet_seconds=0.0)


def enqueue(queue: BatchQueue, recording: Recording, *texts: str) -> list[BatchRequest]:
    requests = [
        BatchRequest("/v1/responses", {"model": "gpt-6-luna", "input": text}) for text in texts
    ]
    context = CallContext(recording.org_id, "document", {recording.id: 1.0}, batch=True)
    for request in requests:
        queue.enqueue(context, "openai", request, max_usd=0.0, budget_usd=None)
    return requests


def test_aimock_batch_is_submitted_and_answered_by_name(
    queue: BatchQueue, aimock: str, recording: Recording
) -> None:
    requests = enqueue(queue, recording, "one", "two", "three")
    batches = open_batch_api(queue, aimock)
    assert batches.sync() == SyncResult(submitted=1)
    assert batches.sync() == SyncResult(), "it is in progress"
    assert batches.sync() == SyncResult(ended=1, answered=3)
    answers = [queue.answer(recording.org_id, "openai", request) for request in requests]
    assert [answer.body["status"] for answer in answers if answer] == ["completed"] * 3


@pytest.mark.parametrize("outcome", ["expired", "failed", "cancelled"])
def test_aimock_batch_with_another_outcome_is_sent_again(
    queue: BatchQueue, aimock: str, recording: Recording, outcome: str
) -> None:
    requests = enqueue(queue, recording, "one", "two")
    broken = open_batch_api(queue, aimock, **{"X-AIMock-Batch-Outcome": outcome})
    steps = [broken.sync() for _ in range(3)]
    assert steps[-1] == SyncResult(ended=1)
    batches = open_batch_api(queue, aimock)
    assert [batches.sync() for _ in range(3)][-1] == SyncResult(ended=1, answered=2)
    assert all(queue.answer(recording.org_id, "openai", request) for request in requests)
