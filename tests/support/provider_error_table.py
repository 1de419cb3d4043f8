"""Answers of providers, sent over a real socket, and how the provider client handles each.

``python -m tests.support.provider_error_table`` measures and writes ``docs/provider-errors.md``.
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

DOCUMENT = Path(__file__).parents[2] / "docs" / "provider-errors.md"
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
SLOW_SECONDS = 0.3
_TIMEOUT_SECONDS = 0.1


@dataclass(frozen=True)
class HttpAnswer:
    """An answer of a server, sent after ``seconds``.

    With ``cut``, the server hangs up after so many bytes of the body.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    truncate_at: int | None = None
    seconds: float = 0.0


def error_answer(
    status: int,
    code: object = None,
    kind: str = "invalid_request_error",
    message: str = "No.",
    **headers: str,
) -> HttpAnswer:
    """Return an error in OpenAI's format."""
    content = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, json.dumps(content).encode(), fields)


def json_answer(status: int, value: object) -> HttpAnswer:
    """Return any JSON value, for the formats of compatible servers."""
    return HttpAnswer(status, json.dumps(value).encode())


def _page(status: int) -> HttpAnswer:
    return HttpAnswer(status, HTML, {"content-type": "text/html"})


RETRY = "retried after a pause of its own"
RETRY_AND_PAUSE_ALL = "retried; all workers pause"
RETRY_ONCE = "retried once, then quarantined"
REJECTED = "refused: RequestRejected"
TOO_LONG = "refused: InputTooLong"
NO_MODEL = "refused: ModelUnavailable"
NO_PROVIDER = "refused: NotAnOpenAIEndpoint"
STOPPED = "provider stopped"

_QUOTA = "insufficient_quota"
_DATES = {"retry_after": "Sun, 22 Nov 2026 20:05:00 GMT", "date": "Sun, 22 Nov 2026 20:00:00 GMT"}
_LONG = "This model's maximum context length is 8192 tokens."
_TPM = "Request too large for m on tokens per min (TPM): Limit 10000, Requested 20000."

#: By name: the answer that is sent, and how it must be handled.
ANSWERS: dict[str, tuple[HttpAnswer, str]] = {
    "400": (error_answer(400), REJECTED),
    "400 context_length_exceeded": (error_answer(400, "context_length_exceeded"), TOO_LONG),
    "400 string_above_max_length": (error_answer(400, "string_above_max_length"), TOO_LONG),
    "400, longer than the model reads": (error_answer(400, message=_LONG), TOO_LONG),
    "400 model_not_found": (error_answer(400, "model_not_found"), NO_MODEL),
    "400 billing_hard_limit_reached": (error_answer(400, "billing_hard_limit_reached"), STOPPED),
    "400 content_policy_violation": (error_answer(400, "content_policy_violation"), REJECTED),
    "401 invalid_api_key": (error_answer(401, "invalid_api_key"), STOPPED),
    "401, a page": (_page(401), STOPPED),
    "402": (error_answer(402), STOPPED),
    "403": (error_answer(403, "unsupported_country_region_territory"), STOPPED),
    "403 model_not_found": (error_answer(403, "model_not_found"), NO_MODEL),
    "404 model_not_found": (error_answer(404, "model_not_found"), NO_MODEL),
    "404, vLLM's model": (
        json_answer(
            404, {"object": "error", "message": "The model `m` does not exist.", "code": 404}
        ),
        NO_MODEL,
    ),
    "404, Ollama's model": (
        json_answer(404, {"error": 'model "m" not found, try pulling it'}),
        NO_MODEL,
    ),
    "404, a file": (error_answer(404, message="No such File object: f"), REJECTED),
    "404, the address": (error_answer(404, message="Invalid URL (POST /v1/m)"), NO_PROVIDER),
    "404, another program": (json_answer(404, {"detail": "Not Found"}), NO_PROVIDER),
    "404, a page": (_page(404), NO_PROVIDER),
    "405": (json_answer(405, {"detail": "Method Not Allowed"}), NO_PROVIDER),
    "408": (error_answer(408), RETRY),
    "409": (error_answer(409), RETRY),
    "413": (error_answer(413, message="Maximum content size limit exceeded"), TOO_LONG),
    "415": (error_answer(415), REJECTED),
    "422": (json_answer(422, {"detail": [{"loc": ["body"], "msg": "wrong"}]}), REJECTED),
    "429": (error_answer(429, "rate_limit_exceeded", "requests"), RETRY_AND_PAUSE_ALL),
    "429 retry-after: 7": (error_answer(429, retry_after="7"), f"{RETRY_AND_PAUSE_ALL} 7 s"),
    "429 retry-after: 600": (error_answer(429, retry_after="600"), f"{RETRY_AND_PAUSE_ALL} 600 s"),
    "429 retry-after-ms: 1500": (
        error_answer(429, retry_after_ms="1500"),
        f"{RETRY_AND_PAUSE_ALL} 1.5 s",
    ),
    "429 retry-after: a date, 5 minutes on": (
        error_answer(429, **_DATES),
        f"{RETRY_AND_PAUSE_ALL} 300 s",
    ),
    "429 retry-after: 1e12": (
        error_answer(429, retry_after="1e12"),
        f"{RETRY_AND_PAUSE_ALL} 86400 s",
    ),
    "429 retry-after: -3": (error_answer(429, retry_after="-3"), RETRY_AND_PAUSE_ALL),
    "429 retry-after: nan": (error_answer(429, retry_after="nan"), RETRY_AND_PAUSE_ALL),
    "429 retry-after: soon": (error_answer(429, retry_after="soon"), RETRY_AND_PAUSE_ALL),
    "429, more than a minute's tokens": (
        error_answer(429, "rate_limit_exceeded", "tokens", _TPM),
        TOO_LONG,
    ),
    "429 insufficient_quota": (error_answer(429, _QUOTA, _QUOTA), STOPPED),
    "429 insufficient_quota, retry-after: 1": (error_answer(429, _QUOTA, retry_after="1"), STOPPED),
    "429 project_spend_limit_exceeded": (
        error_answer(429, "project_spend_limit_exceeded"),
        STOPPED,
    ),
    "429 billing_not_active": (error_answer(429, "billing_not_active"), STOPPED),
    "429 account_deactivated": (error_answer(429, "account_deactivated"), STOPPED),
    "500": (error_answer(500, kind="server_error"), RETRY),
    "502, a page": (_page(502), RETRY),
    "503": (error_answer(503), RETRY),
    "503 retry-after: 20": (error_answer(503, retry_after="20"), f"{RETRY_AND_PAUSE_ALL} 20 s"),
    "504, empty": (HttpAnswer(504), RETRY),
    "529": (
        json_answer(529, {"error": {"message": "Overloaded", "type": "overloaded_error"}}),
        RETRY,
    ),
    "200, JSON cut short": (HttpAnswer(200, b'{"object": "li'), RETRY_ONCE),
    "200, empty": (HttpAnswer(200), RETRY_ONCE),
    "200, a page": (_page(200), NO_PROVIDER),
    "the connection ends within the body": (
        HttpAnswer(200, b'{"object": "list"}', truncate_at=5),
        RETRY,
    ),
    "no answer in time": (HttpAnswer(200, b"{}", seconds=SLOW_SECONDS), RETRY),
}
NO_LISTENER = "nobody listens"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for the client
    answer_to: Callable[[str], HttpAnswer]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = type(self).answer_to(self.path)
        time.sleep(answer.seconds)
        self.send_response_only(answer.status)
        headers = {"content-type": "application/json", **answer.headers}
        for name, value in (headers | {"content-length": str(len(answer.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: answer.truncate_at])
        self.close_connection = answer.truncate_at is not None

    do_GET = do_POST = _answer  # noqa: N815


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect during an answer."""


@contextmanager
def serve_answers(answer_to: Callable[[str], HttpAnswer]) -> Iterator[str]:
    """Yield the URL of a server that answers each path."""
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


def open_client(url: str, timeout: float = 10.0) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=timeout)


def send(client: openai.OpenAI, endpoint: Endpoint) -> object:
    """Send a minimal request as adapters do, and return the reply. Raises the client's errors."""
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
    if "json" not in raw.headers.get("content-type", ""):  # parsing it may raise anything
        raise InvalidProviderResponse("No JSON came.", reply=raw.content, remedy="Look at it.")
    return raw.parse()


def describe(decision: RetryDecision) -> str:
    text = {
        "again": RETRY_AND_PAUSE_ALL if decision.pause_all else RETRY,
        "doubt": RETRY_ONCE,
        "refuse": f"refused: {type(decision.error).__name__}",
        "stop": STOPPED,
    }[decision.action]
    return text if decision.wait is None else f"{text} {decision.wait:g} s"


def measure() -> dict[str, dict[Endpoint, str]]:
    """Return how each answer is handled, by name and endpoint."""
    names = list(ANSWERS)
    table: dict[str, dict[Endpoint, str]] = {}
    with serve_answers(lambda path: ANSWERS[names[int(path.split("/")[1])]][0]) as url:
        for number, (name, (answer, _)) in enumerate(ANSWERS.items()):
            timeout = _TIMEOUT_SECONDS if answer.seconds else 10.0
            table[name] = _row(open_client(f"{url}/{number}/v1", timeout))
    table[NO_LISTENER] = _row(open_client(url))
    return table


def _row(client: openai.OpenAI) -> dict[Endpoint, str]:
    with client:
        return {endpoint: _decision(client, endpoint) for endpoint in ENDPOINTS}


def _decision(client: openai.OpenAI, endpoint: Endpoint) -> str:
    try:
        send(client, endpoint)
    except Exception as error:
        decision = classify_error(error, RequestInfo("openai", "m", endpoint))
        return describe(decision) if decision else f"not known: {type(error).__name__}"
    return "valid"


def render_page(table: Mapping[str, Mapping[Endpoint, str]]) -> str:
    """Return the page with a line per answer; endpoints that differ are named."""
    lines = [
        "# Provider errors and how they are handled",
        "",
        "Measured over a real socket with the `openai` client, its own retries off, at",
        f"{', '.join(ENDPOINTS)}.",
        "`python -m tests.support.provider_error_table` writes this page; a test compares it with",
        "new measurements. *Retried*: up to five attempts within a minute; then the recording is",
        "parked if all workers pause, else the step's own retries follow. *Refused*: the call",
        "fails without another attempt. *Provider stopped*: no call is sent until",
        "`playhead engines resume`.",
        "",
        "| answer | handling |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {_cell(row)} |" for name, row in table.items()), ""])


def _cell(row: Mapping[Endpoint, str]) -> str:
    by_decision: dict[str, list[str]] = {}
    for endpoint, decision in row.items():
        by_decision.setdefault(decision, []).append(endpoint)
    if len(by_decision) == 1:
        return next(iter(by_decision))
    return "; ".join(
        f"{', '.join(endpoints)}: {decision}" for decision, endpoints in by_decision.items()
    )


if __name__ == "__main__":
    DOCUMENT.write_text(render_page(measure()), encoding="utf-8")
