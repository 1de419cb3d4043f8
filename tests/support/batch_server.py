"""A fake provider account with OpenAI's Files, Batch and embeddings APIs.

The vector of a text holds its length. A batch expires after as many requests as a test says.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.provider_servers import ReceivedRequest, ServerReply, json_reply, serve_replies


@contextmanager
def batch_server() -> Iterator[BatchAccount]:
    with serve_replies() as server:
        account = BatchAccount(server.url)
        server.answer = account.answer
        yield account


@dataclass
class BatchAccount:
    """The files and batches of the server, and the requests it answered.

    ``expire_after``: requests that the next batch answers; ``refuse_at``: index of a request that
    it rejects; ``answered_ids``: custom ids, once per answer.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered_ids: list[str] = field(default_factory=list)
    direct_calls: int = 0
    expire_after: int | None = None
    refuse_at: int | None = None

    def answer(self, request: ReceivedRequest) -> ServerReply:
        match request.method, *request.path.split("?")[0].split("/")[2:]:
            case "GET", "batches":
                batches = list(self.batches.values())[::-1]
                return json_reply({"object": "list", "data": batches, "has_more": False})
            case "GET", "batches", name:
                return json_reply(self._finish(self.batches[name]))
            case "GET", "files", name, "content":
                return ServerReply(self.files[name])
            case "DELETE", "files", name:
                del self.files[name]
                return json_reply({"id": name, "object": "file", "deleted": True})
            case "POST", "files":
                return json_reply(_file(self._store(_uploaded(request.body))))
            case "POST", "batches":
                return json_reply(self._create(request.json))
        self.direct_calls += 1
        return json_reply(_embedded(request.json))

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{uuid.uuid4().hex}"
        batch = {"id": name, "object": "batch", "status": "in_progress", "created_at": _now()}
        self.batches[name] = body | batch
        return self.batches[name]

    def _finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Complete or expire the batch if it is in progress, and return it."""
        if batch["status"] == "in_progress":
            lines = self.files[batch["input_file_id"]].splitlines()
            requests = [json.loads(line) for line in lines]
            limit = len(requests) if self.expire_after is None else self.expire_after
            self.expire_after = None
            answers = [
                self._answered(index, request) for index, request in enumerate(requests[:limit])
            ]
            late = [
                {"custom_id": request["custom_id"], "response": None}
                for request in requests[limit:]
            ]
            batch["output_file_id"] = self._store(_json_lines(answers))
            if late:
                batch["error_file_id"] = self._store(_json_lines(late))
            batch["status"] = "expired" if late else "completed"
        return batch

    def _answered(self, index: int, line: dict[str, Any]) -> dict[str, Any]:
        self.answered_ids.append(line["custom_id"])
        refused = index == self.refuse_at
        body = {"error": {"message": "no", "code": "bad"}} if refused else _embedded(line["body"])
        response = {"status_code": 400 if refused else 200, "body": body}
        return {"custom_id": line["custom_id"], "response": response, "error": None}

    def _store(self, content: bytes) -> str:
        name = f"file-{uuid.uuid4().hex}"
        self.files[name] = content
        return name


def _now() -> int:
    return int(time.time())


def _uploaded(form: bytes) -> bytes:
    """Return the file in a multipart form."""
    content = re.search(rb"filename=.*?\r\n\r\n(.*?)\r\n--", form, re.DOTALL)
    assert content is not None
    return content[1]


def _embedded(body: dict[str, Any]) -> dict[str, Any]:
    """Return an embedding per text: its length, or a unit vector if dimensions are requested."""
    dimensions = body.get("dimensions")
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, dimensions)}
        for index, text in enumerate(body["input"])
    ]
    usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def _vector(text: str, dimensions: int | None) -> list[float]:
    if dimensions is None:
        return [float(len(text))]
    return [float(index == len(text) % dimensions) for index in range(dimensions)]


def _file(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "purpose": "batch",
        "bytes": 0,
        "created_at": 0,
        "filename": name,
        "status": "processed",
    }


def _json_lines(values: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)
