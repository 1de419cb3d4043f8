"""Fake providers: a client that sends once, and a server that replies as a test tells it.

Servers that others wrote to stand in for OpenAI are in ``fakes/``; this server sends the replies
that they do not: invalid responses, broken streams, pages of other programs.
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


class PlainClient:
    """A ``ProviderClient`` without limits that sends once, or ``tries`` times without a whole
    reply.

    It raises the same errors as the real client.
    """

    def __init__(
        self, provider: str = "openai", *, needs_context: bool = False, tries: int = 1
    ) -> None:
        self.provider = provider
        self._tries = tries
        self.calls: list[ProviderCall[Any]] = []
        self.usages: list[Usage] = []
        self._needs_context = needs_context

    def execute(self, call: ProviderCall[T]) -> T:
        if self._needs_context:
            current_call_context()
        self.calls.append(call)
        for _ in range(self._tries - 1):
            with suppress(InvalidProviderResponse, openai.APIConnectionError):
                return self._value(call)
            sleep(0.5)  # let a server that broke off its stream finish
        return self._value(call)

    def _value(self, call: ProviderCall[T]) -> T:
        reply = self._send(call)
        self.usages.append(reply.used)
        return reply.value

    def _send(self, call: ProviderCall[T]) -> Reply[T]:
        try:
            return call.send()
        except openai.NotFoundError as error:
            if "model" in str(error.body):
                raise ModelUnavailable(str(error), remedy="Another model.") from error
            raise NotAnOpenAIEndpoint(str(error), remedy="Another address.") from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise RequestRejected(str(error), remedy="Another input.") from error


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came over the socket."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class ServerReply:
    """A reply as it goes over the socket."""

    body: bytes
    status: int = 200
    kind: str = "application/json"


def json_reply(value: Any, status: int = 200) -> ServerReply:
    return ServerReply(json.dumps(value).encode(), status)


def stream_reply(events: Sequence[Mapping[str, Any]], *, ending: str = "") -> ServerReply:
    lines = [f"event: {event.get('type', '')}\ndata: {json.dumps(event)}\n\n" for event in events]
    return ServerReply(("".join(lines) + ending).encode(), kind="text/event-stream")


def response_object(text: str, **changes: Any) -> dict[str, Any]:
    """Return a response object of the Responses API."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100}
    return {"id": "r", "status": "completed", "output": [message], "usage": usage} | changes


def completed_stream(text: str, **changes: Any) -> ServerReply:
    """Return a whole stream of the Responses API."""
    delta = {"type": "response.output_text.delta", "delta": text}
    end = {"type": "response.completed", "response": response_object(text, **changes)}
    return stream_reply([delta, end])


@dataclass
class FakeProvider:
    """A running server: ``replies`` are sent in turn, the last one again and again.

    ``answer``, if set, creates them instead. ``requests`` are those received so far.
    """

    url: str
    replies: list[ServerReply] = field(default_factory=list)
    answer: Callable[[ReceivedRequest], ServerReply] | None = None
    requests: list[ReceivedRequest] = field(default_factory=list)

    def settings(self, name: str = "openai", key: str | None = "test-key", **more: Any) -> Settings:
        provider = Provider(base_url=self.url, api_key=SecretStr(key) if key else None)
        return Settings(providers={name: provider}, openai_api_key=None, **more)

    def next_reply(self, request: ReceivedRequest) -> ServerReply:
        self.requests.append(request)
        if self.answer:
            return self.answer(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def serve_replies() -> Iterator[FakeProvider]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def do_GET(self) -> None:
            self._answer(b"")

        def do_DELETE(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.next_reply(ReceivedRequest(self.path, headers, body, self.command))
            self.send_response(reply.status)
            self.send_header("content-type", reply.kind)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = FakeProvider(f"http://127.0.0.1:{http.server_port}/v1")
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
