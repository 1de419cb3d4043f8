"""Batches against aimock's Files and Batch API, over a real socket. Its answers are canned: what is
tested is the way there and back."""

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


def batches(queue: BatchQueue, aimock: str, **headers: str) -> BatchApi:
    client = openai.OpenAI(
        api_key="key", base_url=aimock, max_retries=0, default_headers=headers or None
    )
    return BatchApi(queue, lambda _: client, ["openai"], cost_of=lambda *_: 0.0, quiet_seconds=0.0)


def put(queue: BatchQueue, recording: Recording, *texts: str) -> list[BatchRequest]:
    requests = [
        BatchRequest("/v1/responses", {"model": "gpt-6-luna", "input": text}) for text in texts
    ]
    context = CallContext(recording.org_id, "document", {recording.id: 1.0}, batch=True)
    for one in requests:
        queue.enqueue(context, "openai", one, at_most_usd=0.0, budget_usd=None)
    return requests


def test_aimock_takes_a_batch_and_its_answers_come_back_by_name(
    queue: BatchQueue, aimock: str, recording: Recording
) -> None:
    requests = put(queue, recording, "one", "two", "three")
    carried = batches(queue, aimock)
    assert carried.sync() == SyncResult(submitted=1)
    assert carried.sync() == SyncResult(), "it is in progress"
    assert carried.sync() == SyncResult(ended=1, answered=3)
    answers = [queue.answer(recording.org_id, "openai", one) for one in requests]
    assert [one.body["status"] for one in answers if one] == ["completed"] * 3


@pytest.mark.parametrize("outcome", ["expired", "failed", "cancelled"])
def test_aimock_ends_a_batch_otherwise_and_nothing_is_lost(
    queue: BatchQueue, aimock: str, recording: Recording, outcome: str
) -> None:
    requests = put(queue, recording, "one", "two")
    broken = batches(queue, aimock, **{"X-AIMock-Batch-Outcome": outcome})
    steps = [broken.sync() for _ in range(3)]
    assert steps[-1] == SyncResult(ended=1)
    carried = batches(queue, aimock)
    assert [carried.sync() for _ in range(3)][-1] == SyncResult(ended=1, answered=2)
    assert all(queue.answer(recording.org_id, "openai", one) for one in requests)
