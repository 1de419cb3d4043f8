"""Queue of requests for the Batch API (a day, half the price), their batches and answers.

A request is identified by its content, so it is sent once however often it is needed.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from playhead.core.call_context import CallContext
from playhead.core.errors import BudgetExceeded
from playhead.core.records import Json, content_hash
from playhead.core.usage import NO_USAGE, Usage
from playhead.postgres.database import Database, Organisation, queries

_SQL = queries("batch_queue")

#: OpenAI's limits of a batch: requests, and bytes of its file.
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
#: Bytes of a line of the file besides its body: the hash, the endpoint, names and quotes.
LINE_BYTES = 200

#: A batch is not started while more requests arrive.
COLLECT_SECONDS = 60.0

#: A request that this many batches did not answer is sent directly.
MAX_TRIES = 3

RETENTION_DAYS = 3


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request: ``endpoint`` is its path ("/v1/embeddings"), ``body`` contains the model."""

    endpoint: str
    body: Json

    @property
    def hash(self) -> str:
        return content_hash([self.endpoint, dict(self.body)])


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests of one organisation for one model. ``remote_id`` is the provider's id."""

    id: str
    org_id: str
    provider: str
    endpoint: str
    model: str
    remote_id: str | None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to a request.

    ``status_code`` is that of a direct request. ``used`` and ``cost_usd``: the usage that its body
    states, at the batch price.
    """

    status_code: int
    body: Json
    used: Usage = NO_USAGE
    cost_usd: float = 0.0


class BatchQueue:
    """Pending requests and their answers, for each organisation.

    What is sent next and what has expired is decided for all organisations together.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def answer(self, org_id: str, provider: str, request: BatchRequest) -> BatchAnswer | None:
        """Return the answer, or None if there is none yet or the request is unknown."""
        row = self._find(org_id, provider, request)
        return BatchAnswer(**row["reply"]) if row and row["reply"] else None

    def should_send_directly(self, org_id: str, provider: str, request: BatchRequest) -> bool:
        """Return True if several batches brought no answer to this request."""
        row = self._find(org_id, provider, request)
        return bool(row and row["tries"] >= MAX_TRIES)

    def enqueue(
        self,
        context: CallContext,
        provider: str,
        request: BatchRequest,
        *,
        max_usd: float,
        budget_usd: float | None,
    ) -> None:
        """Queue a request for the next batch.

        If it is queued already, it stays one request, for these recordings, too. Raises
        ``BudgetExceeded`` if the organisation's daily budget does not cover it.
        """
        row = self._within(context.org_id).row(
            _SQL["enqueue"],
            **_name(context.org_id, provider, request),
            endpoint=request.endpoint,
            model=request.body["model"],
            body=Jsonb(dict(request.body)),
            purpose=context.purpose,
            recording_ids=list(context.recordings),
            max_usd=max_usd,
            budget_usd=budget_usd,
            tries=MAX_TRIES,
        )
        assert row is not None
        if not row["taken_on"]:
            raise BudgetExceeded(
                "The daily budget is spent, or reserved for batches.",
                until=row["tomorrow"],
                remedy="It continues tomorrow (UTC), or with a higher PLAYHEAD_DAILY_BUDGET_USD.",
            )

    def recordings_in_batch_mode(self, recordings: Collection[str]) -> set[str]:
        """Return those recordings that had a request queued lately; later ones may wait, too."""
        rows = self._database.rows(_SQL["recordings_in_batch_mode"], ids=list(recordings))
        return {row["id"] for row in rows}

    def delete_answer(self, org_id: str, provider: str, request: BatchRequest) -> None:
        """Delete an invalid or failed answer, so that the request is sent again."""
        self._within(org_id).run(_SQL["delete_reply"], **_name(org_id, provider, request))

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Yield True if no other process synchronises batches.

        Two that did would send one twice. The lock ends with its connection, however the process
        dies.
        """
        with self._database.connection() as connection:
            row = connection.execute(_SQL["begin_step"]).fetchone()
            assert row is not None
            try:
                yield row["mine"]
            finally:
                if row["mine"]:
                    connection.execute(_SQL["end_step"])

    def has_work(self) -> bool:
        """Return True if a request is pending or a batch in progress."""
        row = self._database.row(_SQL["has_work"], tries=MAX_TRIES)
        assert row is not None
        return bool(row["anything"])

    def start_batch(self, providers: Collection[str], *, quiet_seconds: float) -> bool:
        """Start a batch of pending requests, of at most the provider's maximum size.

        Starts if nothing was queued for ``quiet_seconds``, or if the batch is full. Returns True if
        one was started.
        """
        values = {
            "id": uuid.uuid4(),
            "providers": list(providers),
            "quiet_seconds": quiet_seconds,
            "tries": MAX_TRIES,
            "max_requests": MAX_REQUESTS,
            "max_bytes": MAX_BYTES,
            "line_bytes": LINE_BYTES,
        }
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["gather"], values).fetchone()
            if row is None:
                return False
            connection.execute(_SQL["put_into"], {"id": row["id"], "requests": row["requests"]})
        return True

    def under_way(self) -> list[Batch]:
        """Return the unfinished batches, oldest first."""
        rows = self._database.rows(_SQL["under_way"])
        return [Batch(**row | {"id": str(row["id"])}) for row in rows]

    @contextmanager
    def lines(self, batch: Batch) -> Iterator[Iterator[tuple[str, BatchRequest]]]:
        """Yield the batch's requests with their hashes, read lazily."""
        values = {"org_id": batch.org_id, "id": batch.id}
        with self._within(batch.org_id).transaction() as connection:
            cursor = connection.cursor(name="lines")
            cursor.execute(_SQL["lines"], values)
            yield (
                (row["request_hash"], BatchRequest(row["endpoint"], row["body"])) for row in cursor
            )

    def submitted(self, batch: Batch, remote_id: str) -> None:
        self._within(batch.org_id).run(_SQL["submitted"], id=batch.id, remote_id=remote_id)

    def answers(self, batch: Batch, answers: Mapping[str, BatchAnswer]) -> None:
        """Store answers by request hash.

        Each is stored and counted once, and the recordings that wait for it are pending again.
        """
        self._within(batch.org_id).run(
            _SQL["answer"],
            org_id=batch.org_id,
            id=batch.id,
            hashes=list(answers),
            replies=[
                Jsonb({"status_code": answer.status_code, "body": answer.body})
                for answer in answers.values()
            ],
            calls=[uuid.uuid4() for _ in answers],
            costs=[answer.cost_usd for answer in answers.values()],
            inputs=[answer.used.input_tokens for answer in answers.values()],
            outputs=[answer.used.output_tokens for answer in answers.values()],
        )

    def end(self, batch: Batch, error: str | None) -> None:
        """Close a batch. Unanswered requests go to the next one."""
        with self._within(batch.org_id).transaction() as connection:
            connection.execute(_SQL["release"], {"org_id": batch.org_id, "id": batch.id})
            connection.execute(_SQL["end"], {"id": batch.id, "error": error})

    def prune(self) -> int:
        """Delete expired answers and requests that are no longer needed. Returns their number."""
        return self._database.run(_SQL["prune"], days=RETENTION_DAYS)

    def _find(self, org_id: str, provider: str, request: BatchRequest) -> Mapping[str, Any] | None:
        return self._within(org_id).row(_SQL["find_answer"], **_name(org_id, provider, request))

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_pipeline")


def _name(org_id: str, provider: str, request: BatchRequest) -> dict[str, Any]:
    return {"org_id": org_id, "provider": provider, "request_hash": request.hash}
