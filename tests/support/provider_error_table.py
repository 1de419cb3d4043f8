"""Answers that providers give, on a real socket, and what the wire makes of each.

``python -m tests.support.provider_error_table`` writes ``docs/provider-verdicts.md`` from what it measures.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import openai

from playhead.core.errors import InvalidProviderResponse
from playhead.core.usage import Endpoint
from playhead.providers.error_classification import RequestInfo, RetryDecision, classify_error

DOCUMENT = Path(__file__).parents[2] / "docs" / "provider-verdicts.md"
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
SLOW_SECONDS = 0.3
_TIMEOUT_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """What a server sends; ``cut``: this much of the body, and then it hangs up."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    seconds: float = 0.0


def error(
    status: int,
    code: object = None,
    kind: str = "invalid_request_error",
    message: str = "No.",
    **headers: str,
) -> Answer:
    """As OpenAI words it."""
    said = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(said).encode(), named)


def other(status: int, value: object) -> Answer:
    """As compatible servers word it."""
    return Answer(status, json.dumps(value).encode())


def _page(status: int) -> Answer:
    return Answer(status, HTML, {"content-type": "text/html"})


AGAIN = "again after a pause of its own"
EVERYONE = "again; all workers pause"
DOUBT = "once more, then quarantine"
REFUSED = "refused: RequestRejected"
TOO_LONG = "refused: InputTooLong"
NO_MODEL = "refused: ModelUnavailable"
NO_PROVIDER = "refused: NotAnOpenAIEndpoint"
STOPPED = "provider stopped"

_QUOTA = "insufficient_quota"
_DATES = {"retry_after": "Sun, 22 Nov 2026 20:05:00 GMT", "date": "Sun, 22 Nov 2026 20:00:00 GMT"}
_LONG = "This model's maximum context length is 8192 tokens."
_TPM = "Request too large for m on tokens per min (TPM): Limit 10000, Requested 20000."

#: A name, what is sent, and the verdict that is promised.
ANSWERS: dict[str, tuple[Answer, str]] = {
    "400": (error(400), REFUSED),
    "400 context_length_exceeded": (error(400, "context_length_exceeded"), TOO_LONG),
    "400 string_above_max_length": (error(400, "string_above_max_length"), TOO_LONG),
    "400, longer than the model reads": (error(400, message=_LONG), TOO_LONG),
    "400 model_not_found": (error(400, "model_not_found"), NO_MODEL),
    "400 billing_hard_limit_reached": (error(400, "billing_hard_limit_reached"), STOPPED),
    "400 content_policy_violation": (error(400, "content_policy_violation"), REFUSED),
    "401 invalid_api_key": (error(401, "invalid_api_key"), STOPPED),
    "401, a page": (_page(401), STOPPED),
    "402": (error(402), STOPPED),
    "403": (error(403, "unsupported_country_region_territory"), STOPPED),
    "403 model_not_found": (error(403, "model_not_found"), NO_MODEL),
    "404 model_not_found": (error(404, "model_not_found"), NO_MODEL),
    "404, vLLM's model": (
        other(404, {"object": "error", "message": "The model `m` does not exist.", "code": 404}),
        NO_MODEL,
    ),
    "404, Ollama's model": (other(404, {"error": 'model "m" not found, try pulling it'}), NO_MODEL),
    "404, a file": (error(404, message="No such File object: f"), REFUSED),
    "404, the address": (error(404, message="Invalid URL (POST /v1/m)"), NO_PROVIDER),
    "404, another program": (other(404, {"detail": "Not Found"}), NO_PROVIDER),
    "404, a page": (_page(404), NO_PROVIDER),
    "405": (other(405, {"detail": "Method Not Allowed"}), NO_PROVIDER),
    "408": (error(408), AGAIN),
    "409": (error(409), AGAIN),
    "413": (error(413, message="Maximum content size limit exceeded"), TOO_LONG),
    "415": (error(415), REFUSED),
    "422": (other(422, {"detail": [{"loc": ["body"], "msg": "wrong"}]}), REFUSED),
    "429": (error(429, "rate_limit_exceeded", "requests"), EVERYONE),
    "429 retry-after: 7": (error(429, retry_after="7"), f"{EVERYONE} 7 s"),
    "429 retry-after: 600": (error(429, retry_after="600"), f"{EVERYONE} 600 s"),
    "429 retry-after-ms: 1500": (error(429, retry_after_ms="1500"), f"{EVERYONE} 1.5 s"),
    "429 retry-after: a date, 5 minutes on": (error(429, **_DATES), f"{EVERYONE} 300 s"),
    "429 retry-after: 1e12": (error(429, retry_after="1e12"), f"{EVERYONE} 86400 s"),
    "429 retry-after: -3": (error(429, retry_after="-3"), EVERYONE),
    "429 retry-after: nan": (error(429, retry_after="nan"), EVERYONE),
    "429 retry-after: soon": (error(429, retry_after="soon"), EVERYONE),
    "429, more than a minute's tokens": (
        error(429, "rate_limit_exceeded", "tokens", _TPM),
        TOO_LONG,
    ),
    "429 insufficient_quota": (error(429, _QUOTA, _QUOTA), STOPPED),
    "429 insufficient_quota, retry-after: 1": (error(429, _QUOTA, retry_after="1"), STOPPED),
    "429 project_spend_limit_exceeded": (error(429, "project_spend_limit_exceeded"), STOPPED),
    "429 billing_not_active": (error(429, "billing_not_active"), STOPPED),
    "429 account_deactivated": (error(429, "account_deactivated"), STOPPED),
    "500": (error(500, kind="server_error"), AGAIN),
    "502, a page": (_page(502), AGAIN),
    "503": (error(503), AGAIN),
    "503 retry-after: 20": (error(503, retry_after="20"), f"{EVERYONE} 20 s"),
    "504, empty": (Answer(504), AGAIN),
    "529": (other(529, {"error": {"message": "Overloaded", "type": "overloaded_error"}}), AGAIN),
    "200, JSON cut short": (Answer(200, b'{"object": "li'), DOUBT),
    "200, empty": (Answer(200), DOUBT),
    "200, a page": (_page(200), NO_PROVIDER),
    "the connection ends within the body": (Answer(200, b'{"object": "list"}', cut=5), AGAIN),
    "no answer in time": (Answer(200, b"{}", seconds=SLOW_SECONDS), AGAIN),
}
NOBODY = "nobody listens"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for the client
    answer_to: Callable[[str], Answer]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = type(self).answer_to(self.path)
        time.sleep(answer.seconds)
        self.send_response_only(answer.status)
        headers = {"content-type": "application/json", **answer.headers}
        for name, value in (headers | {"content-length": str(len(answer.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        self.close_connection = answer.cut is not None

    do_GET = do_POST = _answer  # noqa: N815


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients give up while they are answered."""


@contextmanager
def serving(answer_to: Callable[[str], Answer]) -> Iterator[str]:
    """A server that answers each path so; its URL."""
    handler = type("Handler", (_Handler,), {"answer_to": staticmethod(answer_to)})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def client_of(url: str, timeout: float = 10.0) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=timeout)


def send(client: openai.OpenAI, endpoint: Endpoint) -> object:
    """A smallest request, as an adapter makes it. Raises what came of it."""
    requests: dict[Endpoint, Callable[[], Any]] = {
        "transcriptions": lambda: client.audio.transcriptions.with_raw_response.create(
            file=("a.wav", b"RIFF"), model="m"
        ),
        "responses": lambda: client.responses.with_raw_response.create(model="m", input="a"),
        "chat": lambda: client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "a"}]
        ),
        "embeddings": lambda: client.embeddings.with_raw_response.create(model="m", input="a"),
        "files": lambda: client.files.with_raw_response.retrieve("f"),
        "batches": lambda: client.batches.with_raw_response.retrieve("b"),
        "models": lambda: client.models.with_raw_response.retrieve("m"),
    }
    raw = requests[endpoint]()
    if "json" not in raw.headers.get("content-type", ""):  # to parse that may raise anything
        raise InvalidProviderResponse("No JSON came.", reply=raw.content, remedy="Look at it.")
    return raw.parse()


def in_words(verdict: RetryDecision) -> str:
    words = {
        "again": EVERYONE if verdict.pause_all else AGAIN,
        "doubt": DOUBT,
        "refuse": f"refused: {type(verdict.error).__name__}",
        "stop": STOPPED,
    }[verdict.action]
    return words if verdict.wait is None else f"{words} {verdict.wait:g} s"


def measured() -> dict[str, dict[Endpoint, str]]:
    """What the wire decides, by answer and endpoint."""
    names = list(ANSWERS)
    table: dict[str, dict[Endpoint, str]] = {}
    with serving(lambda path: ANSWERS[names[int(path.split("/")[1])]][0]) as url:
        for number, (name, (answer, _)) in enumerate(ANSWERS.items()):
            timeout = _TIMEOUT_SECONDS if answer.seconds else 10.0
            table[name] = _row(client_of(f"{url}/{number}/v1", timeout))
    table[NOBODY] = _row(client_of(url))
    return table


def _row(client: openai.OpenAI) -> dict[Endpoint, str]:
    with client:
        return {endpoint: _verdict(client, endpoint) for endpoint in ENDPOINTS}


def _verdict(client: openai.OpenAI, endpoint: Endpoint) -> str:
    try:
        send(client, endpoint)
    except Exception as error:
        verdict = classify_error(error, RequestInfo("openai", "m", endpoint))
        return in_words(verdict) if verdict else f"not known: {type(error).__name__}"
    return "believed"


def document(table: Mapping[str, Mapping[Endpoint, str]]) -> str:
    """A line an answer; endpoints that differ are named."""
    lines = [
        "# What providers answer, and what is done",
        "",
        "Measured over a real socket with the `openai` client, its own retries off, at",
        f"{', '.join(ENDPOINTS)}.",
        "`python -m tests.support.provider_error_table` writes this page; a test compares it with what is",
        "measured. *Again*: up to five attempts and a minute; then the work is laid aside where",
        "all workers pause, else the step's own retries follow. *Refused*: no attempt follows.",
        "*Provider stopped*: nobody asks it until `playhead engines resume`.",
        "",
        "| answer | what is done |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {_cell(row)} |" for name, row in table.items()), ""])


def _cell(row: Mapping[Endpoint, str]) -> str:
    by_verdict: dict[str, list[str]] = {}
    for endpoint, verdict in row.items():
        by_verdict.setdefault(verdict, []).append(endpoint)
    if len(by_verdict) == 1:
        return next(iter(by_verdict))
    return "; ".join(f"{', '.join(those)}: {verdict}" for verdict, those in by_verdict.items())


if __name__ == "__main__":
    DOCUMENT.write_text(document(measured()), encoding="utf-8")
