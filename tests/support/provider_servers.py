"""Providers for tests: a wire that sends once, and a server that answers as it is told.

What others wrote to stand in for OpenAI is in ``fakes/``; this server is for replies that they do
not give: lies, torn streams, other people's pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep
from typing import Any, TypeVar

import openai
from pydantic import SecretStr

from playhead.core.call_context import current_call_context
from playhead.core.errors import (
    InvalidProviderResponse,
    ModelUnavailable,
    NotAnOpenAIEndpoint,
    RequestRejected,
)
from playhead.core.settings import Provider, Settings
from playhead.core.usage import Usage
from playhead.providers.client_protocol import ProviderCall, Reply

T = TypeVar("T")


class PlainWire:
    """A ``Wire`` that meters nothing and sends once, or ``tries`` times where no whole reply came;
    refusals are named as the real one does."""

    def __init__(self, provider: str = "openai", *, errands: bool = False, tries: int = 1) -> None:
        self.provider = provider
        self._tries = tries
        self.asked: list[ProviderCall[Any]] = []
        self.used: list[Usage] = []
        self._errands = errands

    def execute(self, call: ProviderCall[T]) -> T:
        if self._errands:
            current_call_context()
        self.asked.append(call)
        for _ in range(self._tries - 1):
            with suppress(InvalidProviderResponse, openai.APIConnectionError):
                return self._value(call)
            sleep(0.5)  # a server that tore its stream has to be through with it
        return self._value(call)

    def _value(self, call: ProviderCall[T]) -> T:
        reply = self._sent(call)
        self.used.append(reply.used)
        return reply.value

    def _sent(self, call: ProviderCall[T]) -> Reply[T]:
        try:
            return call.send()
        except openai.NotFoundError as error:
            if "model" in str(error.body):
                raise ModelUnavailable(str(error), remedy="Another model.") from error
            raise NotAnOpenAIEndpoint(str(error), remedy="Another address.") from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise RequestRejected(str(error), remedy="Another input.") from error


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the socket."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Told:
    """A reply as it goes over the socket."""

    body: bytes
    status: int = 200
    kind: str = "application/json"


def told(value: Any, status: int = 200) -> Told:
    return Told(json.dumps(value).encode(), status)


def streamed(events: Sequence[Mapping[str, Any]], *, ending: str = "") -> Told:
    lines = [f"event: {one.get('type', '')}\ndata: {json.dumps(one)}\n\n" for one in events]
    return Told(("".join(lines) + ending).encode(), kind="text/event-stream")


def responded(text: str, **changes: Any) -> dict[str, Any]:
    """A response object of the Responses API."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100}
    return {"id": "r", "status": "completed", "output": [message], "usage": usage} | changes


def completed(text: str, **changes: Any) -> Told:
    """A whole stream of the Responses API."""
    delta = {"type": "response.output_text.delta", "delta": text}
    end = {"type": "response.completed", "response": responded(text, **changes)}
    return streamed([delta, end])


@dataclass
class Server:
    """``replies`` are given in turn, the last one for ever, or ``answer`` makes them; ``asked`` is
    what came."""

    url: str
    replies: list[Told] = field(default_factory=list)
    answer: Callable[[Asked], Told] | None = None
    asked: list[Asked] = field(default_factory=list)

    def settings(self, name: str = "openai", key: str | None = "test-key", **more: Any) -> Settings:
        provider = Provider(base_url=self.url, api_key=SecretStr(key) if key else None)
        return Settings(providers={name: provider}, openai_api_key=None, **more)

    def next_reply(self, asked: Asked) -> Told:
        self.asked.append(asked)
        if self.answer:
            return self.answer(asked)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def serving() -> Iterator[Server]:
    """On a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def do_GET(self) -> None:
            self._answer(b"")

        def do_DELETE(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.next_reply(Asked(self.path, headers, body, self.command))
            self.send_response(reply.status)
            self.send_header("content-type", reply.kind)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
