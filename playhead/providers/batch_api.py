"""OpenAI's Batch API: half the price for an answer within a day.

Works in steps, so that a worker may die at any point. A batch carries our id as metadata, so a
batch that was created just before a crash is found again and not paid twice. An expired batch keeps
the answers it has, and its other requests go into the next batch. The queue is
``playhead/postgres/provider_use/batch_queue.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Final, Literal, cast

import openai
from openai.types import Batch as Remote

from playhead.core.records import Json
from playhead.core.usage import Usage
from playhead.postgres.provider_use.batch_queue import (
    COLLECT_SECONDS,
    Batch,
    BatchAnswer,
    BatchQueue,
)

#: Endpoints that batches support.
Path = Literal["/v1/responses", "/v1/chat/completions", "/v1/embeddings"]

_NAME: Final = "playhead_batch"  # metadata key of our batch id
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_IN_MEMORY_BYTES: Final = 8 << 20  # larger files are spooled to disk
_MAX_CONCURRENT_ANSWERS: Final = 500
_LOOKBACK: Final = 500  # newest batches of the account to search for ours
_FILE_TTL_SECONDS: Final = 3 * 86_400  # at the provider; a batch ends within a day


@dataclass(frozen=True, slots=True)
class SyncResult:
    """Numbers of batches submitted and ended in one step. ``answered`` counts requests."""

    submitted: int = 0
    ended: int = 0
    answered: int = 0


class BatchApi:
    """Submits batches and collects their answers.

    ``providers`` have a Batch API; ``clients`` returns the client of a provider by its name;
    ``cost_of`` returns the US dollars that an answer cost. A batch is started when no request was
    added for ``quiet_seconds``.
    """

    def __init__(
        self,
        queue: BatchQueue,
        clients: Callable[[str], openai.OpenAI],
        providers: Iterable[str],
        *,
        cost_of: Callable[[Batch, Usage], float],
        quiet_seconds: float = COLLECT_SECONDS,
    ) -> None:
        self._cost_of = cost_of
        self._quiet_seconds = quiet_seconds
        self._queue = queue
        self._clients = clients
        self._providers = frozenset(providers)

    def sync(self) -> SyncResult:
        """Collect ended batches and submit pending ones.

        Does nothing while another process does it. Raises ``openai.OpenAIError`` if a provider
        fails; steps that were completed before stay completed.
        """
        with self._queue.exclusive() as acquired:
            return self._sync_all() if acquired else SyncResult()

    def _sync_all(self) -> SyncResult:
        ended = answered = submitted = 0
        while self._queue.start_batch(self._providers, quiet_seconds=self._quiet_seconds):
            pass
        for batch in self._queue.under_way():
            if batch.remote_id is None:
                self._submit(batch)
                submitted += 1
            else:
                collected = self._collect(batch, batch.remote_id)
                ended += collected is not None
                answered += collected or 0
        return SyncResult(submitted, ended, answered)

    def _submit(self, batch: Batch) -> None:
        client = self._clients(batch.provider)
        remote = _created_before(client, batch) or self._create(client, batch)
        self._queue.submitted(batch, remote.id)

    def _create(self, client: openai.OpenAI, batch: Batch) -> Remote:
        with SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            with self._queue.lines(batch) as lines:
                for name, request in lines:
                    file.write(_line(name, request.endpoint, request.body))
            file.seek(0)
            uploaded = client.files.create(
                file=(f"{batch.id}.jsonl", cast("IO[bytes]", file)),
                purpose="batch",
                expires_after={"anchor": "created_at", "seconds": _FILE_TTL_SECONDS},
            )
        return client.batches.create(
            input_file_id=uploaded.id,
            endpoint=cast("Path", batch.endpoint),
            completion_window="24h",
            metadata={_NAME: batch.id},
        )

    def _collect(self, batch: Batch, remote_id: str) -> int | None:
        """Return the number of answers collected, or None while the batch is in progress."""
        client = self._clients(batch.provider)
        remote = client.batches.retrieve(remote_id)
        if remote.status not in _ENDED:
            return None
        answered = 0
        for file in filter(None, (remote.output_file_id, remote.error_file_id)):
            answers = self._answers(client, batch, file)
            while batch_answers := dict(islice(answers, _MAX_CONCURRENT_ANSWERS)):
                self._queue.answers(batch, batch_answers)
                answered += len(batch_answers)
        self._queue.end(batch, _error(remote))
        _delete_remote_files(client, remote)
        return answered

    def _answers(
        self, client: openai.OpenAI, batch: Batch, file: str
    ) -> Iterator[tuple[str, BatchAnswer]]:
        """Yield the answers in a result file, by the hash that names the request.

        An expired request has a line without a response; it waits for the next batch.
        """
        with client.files.with_streaming_response.content(file) as content:
            for text in content.iter_lines():
                line = json.loads(text) if text.strip() else {}
                if response := line.get("response"):
                    status, body = response["status_code"], response["body"] or {}
                    used = _used(body)
                    yield (
                        line["custom_id"],
                        BatchAnswer(status, body, used, self._cost_of(batch, used)),
                    )


def _created_before(client: openai.OpenAI, batch: Batch) -> Remote | None:
    """Return the batch at the provider that carries our id, or None.

    A worker that died after creating the batch left it there.
    """
    for remote in islice(client.batches.list(limit=100), _LOOKBACK):
        if (remote.metadata or {}).get(_NAME) == batch.id:
            return remote
    return None


def _line(name: str, endpoint: str, body: object) -> bytes:
    line = {"custom_id": name, "method": "POST", "url": endpoint, "body": body}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _used(body: Json) -> Usage:
    usage = body.get("usage") or {}
    return Usage(
        int(usage.get("input_tokens") or usage.get("prompt_tokens") or 0),
        int(usage.get("output_tokens") or usage.get("completion_tokens") or 0),
    )


def _error(remote: Remote) -> str | None:
    problems = [error.message for error in (remote.errors and remote.errors.data) or ()]
    if remote.status == "completed" and not problems:
        return None
    return "; ".join([remote.status, *filter(None, problems[:5])])


def _delete_remote_files(client: openai.OpenAI, remote: Remote) -> None:
    """Delete the batch's files at the provider, so that no text stays there longer than needed."""
    for file in (remote.input_file_id, remote.output_file_id, remote.error_file_id):
        if file is not None:
            client.files.delete(file)
