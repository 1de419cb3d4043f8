"""An account at a provider with OpenAI's Files, Batch and embeddings API: a text's vector tells its
length. A batch expires after as many requests as a test says."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.provider_servers import Asked, Told, serving, told


@contextmanager
def batch_server() -> Iterator[Account]:
    with serving() as server:
        account = Account(server.url)
        server.answer = account.answer
        yield account


@dataclass
class Account:
    """What the server holds and saw. ``expire_after``: requests that the next batch answers;
    ``refuse_at``: the place of a request that it refuses."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # custom ids, as often as they were answered
    asked_directly: int = 0
    expire_after: int | None = None
    refuse_at: int | None = None

    def answer(self, asked: Asked) -> Told:
        match asked.method, *asked.path.split("?")[0].split("/")[2:]:
            case "GET", "batches":
                listed = list(self.batches.values())[::-1]
                return told({"object": "list", "data": listed, "has_more": False})
            case "GET", "batches", name:
                return told(self._looked_at(self.batches[name]))
            case "GET", "files", name, "content":
                return Told(self.files[name])
            case "DELETE", "files", name:
                del self.files[name]
                return told({"id": name, "object": "file", "deleted": True})
            case "POST", "files":
                return told(_file(self._store(_uploaded(asked.body))))
            case "POST", "batches":
                return told(self._created(asked.json))
        self.asked_directly += 1
        return told(_embedded(asked.json))

    def _created(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{uuid.uuid4().hex}"
        begun = {"id": name, "object": "batch", "status": "in_progress", "created_at": _now()}
        self.batches[name] = body | begun
        return self.batches[name]

    def _looked_at(self, batch: dict[str, Any]) -> dict[str, Any]:
        """It is over as soon as somebody looks."""
        if batch["status"] == "in_progress":
            lines = self.files[batch["input_file_id"]].splitlines()
            requests = [json.loads(line) for line in lines]
            limit = len(requests) if self.expire_after is None else self.expire_after
            self.expire_after = None
            answers = [self._answered(place, one) for place, one in enumerate(requests[:limit])]
            late = [{"custom_id": one["custom_id"], "response": None} for one in requests[limit:]]
            batch["output_file_id"] = self._store(_json_lines(answers))
            if late:
                batch["error_file_id"] = self._store(_json_lines(late))
            batch["status"] = "expired" if late else "completed"
        return batch

    def _answered(self, place: int, line: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(line["custom_id"])
        refused = place == self.refuse_at
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
    """The file in a multipart form."""
    content = re.search(rb"filename=.*?\r\n\r\n(.*?)\r\n--", form, re.DOTALL)
    assert content is not None
    return content[1]


def _embedded(body: dict[str, Any]) -> dict[str, Any]:
    """A number for each text; unit vectors where dimensions are asked for."""
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
    return [float(place == len(text) % dimensions) for place in range(dimensions)]


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
