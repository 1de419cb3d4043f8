"""A small server that speaks OpenAI's Files, Batch and embeddings API: a text's vector tells its
length. A batch expires after as many requests as a test says."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Account:
    """What the server holds and saw. ``expire_after``: requests that the next batch answers;
    ``refuse_at``: the place of a request that it refuses."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # custom ids, as often as they were answered
    asked_directly: int = 0
    expire_after: int | None = None
    refuse_at: int | None = None


@contextmanager
def batch_server() -> Iterator[Account]:
    account = Account()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"account": account})
    )
    account.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    account: Account
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        account = self.account
        match self.path.split("?")[0].split("/")[2:]:
            case ["batches"]:
                listed = list(account.batches.values())[::-1]
                self._send({"object": "list", "data": listed, "has_more": False})
            case ["batches", name]:
                self._finish(account.batches[name])
                self._send(account.batches[name])
            case ["files", name, "content"]:
                self._send_bytes(account.files[name])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/embeddings":
            self.account.asked_directly += 1
            self._send(_embedded(json.loads(body)))
        elif self.path == "/v1/files":
            content = re.search(rb"filename=.*?\r\n\r\n(.*?)\r\n--", body, re.DOTALL)
            assert content is not None
            self._send({**_file(self._store(content[1])), "purpose": "batch"})
        else:
            batch = {
                **json.loads(body),
                "id": f"batch_{uuid.uuid4().hex}",
                "object": "batch",
                "status": "in_progress",
                "created_at": int(time.time()),
            }
            self.account.batches[batch["id"]] = batch
            self._send(batch)

    def do_DELETE(self) -> None:
        name = self.path.split("/")[-1]
        del self.account.files[name]
        self._send({"id": name, "object": "file", "deleted": True})

    def _finish(self, batch: dict[str, Any]) -> None:
        if batch["status"] != "in_progress":
            return
        lines = [
            json.loads(line)
            for line in self.account.files[batch["input_file_id"]].split(b"\n")
            if line
        ]
        limit = self.account.expire_after if self.account.expire_after is not None else len(lines)
        answers = [self._answer(place, line) for place, line in enumerate(lines[:limit])]
        late = [{"custom_id": line["custom_id"], "response": None} for line in lines[limit:]]
        batch["output_file_id"] = self._store(_json_lines(answers))
        if late:
            batch["error_file_id"] = self._store(_json_lines(late))
        batch["status"] = "expired" if late else "completed"
        self.account.expire_after = None

    def _answer(self, place: int, line: dict[str, Any]) -> dict[str, Any]:
        self.account.asked.append(line["custom_id"])
        body: dict[str, Any] = {"error": {"message": "no", "code": "bad"}}
        status = 400
        if place != self.account.refuse_at:
            status = 200
            body = _embedded(line["body"])
        return {
            "custom_id": line["custom_id"],
            "response": {"status_code": status, "body": body},
            "error": None,
        }

    def _store(self, content: bytes) -> str:
        name = f"file-{uuid.uuid4().hex}"
        self.account.files[name] = content
        return name

    def _send(self, value: object) -> None:
        self._send_bytes(json.dumps(value).encode())

    def _send_bytes(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


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
        "bytes": 0,
        "created_at": 0,
        "filename": name,
        "status": "processed",
    }


def _json_lines(values: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)
