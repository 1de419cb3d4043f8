"""What a provider's error means for the request, for the worker and for the provider.

Pure: an exception in, a verdict out. ``docs/provider-verdicts.md`` is the table of them, made by
a test. Not here: carrying a verdict out (``metered.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import openai

from playhead.core.errors import (
    CircuitOpen,
    InputTooLong,
    InvalidProviderResponse,
    ModelUnavailable,
    NotAnOpenAIEndpoint,
    PlayheadError,
    ProviderUnavailable,
    RequestRejected,
)
from playhead.core.usage import Endpoint
from playhead.providers.rate_limit_headers import retry_after

#: again: the same request may succeed in a moment. doubt: once more, then a person looks at the
#: reply. refuse: never. stop: nobody asks this provider until a person has seen to it.
RetryAction = Literal["again", "doubt", "refuse", "stop"]

_TRANSIENT = {408, 409, 425, 429}
_ACCESS_DENIED = {401, 402, 403, 407}
_BILLING = re.compile(
    r"insufficient_quota|billing_\w+|\w*spend_limit_exceeded|\w*credits?_exhausted"
    r"|account_deactivated|access_terminated"
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|string_above_max_length|maximum context length"
    r"|maximum content size|[Rr]equest too large|longer than \d+ seconds"
)
_NO_MODEL = re.compile(
    r"model_not_found|\bmodel\b.{0,200}(not found|does not exist|not installed|is not supported)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_MESSAGE_CHARACTERS = 300  # of a provider's own words


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """``error`` is what is raised when nothing is tried any more. ``wait``: seconds that the
    provider asks for; ``everyone``: not only of this worker."""

    action: RetryAction
    error: PlayheadError
    wait: float | None = None
    pause_all: bool = False
    status: int | None = None


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """Who was asked for what: for the words of errors."""

    provider: str
    model: str
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.provider} ({self.endpoint}, {self.model})"


def classify_error(error: Exception, asked: RequestInfo) -> RetryDecision | None:
    """None for an error that is not the provider's."""
    if isinstance(error, openai.APIResponseValidationError):
        return _retry_once(asked, error.response.content, error.status_code)
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error, asked)
    if isinstance(error, openai.APIConnectionError | httpx2.TransportError):  # within a stream
        return RetryDecision(
            "again", _classify_unavailable(asked, type(error.__cause__ or error).__name__)
        )
    if isinstance(error, json.JSONDecodeError):
        return _retry_once(asked, error.doc.encode("utf-8", "surrogatepass"), 200)
    if isinstance(error, InvalidProviderResponse):
        return _not_an_endpoint(asked) if _is_page(error.reply) else RetryDecision("doubt", error)
    if isinstance(error, openai.APIError):
        return _classify_stream_error(error, asked)
    if isinstance(error, openai.OpenAIError):  # before anything was sent
        return RetryDecision(
            "refuse", RequestRejected(f"{asked}: {error}", remedy="See its message.")
        )
    return None


def _classify_status(error: openai.APIStatusError, asked: RequestInfo) -> RetryDecision:
    status, said = error.status_code, _ErrorBody.by(error)
    if said.has(_NO_MODEL) and status in (400, 403, 404, 422):
        return RetryDecision("refuse", _model_missing(asked), status=status)
    if status in _ACCESS_DENIED or (status in (400, 429) and said.concerns(_BILLING)):
        return RetryDecision("stop", _open_circuit(asked, status, said.code), status=status)
    if status == 413 or (status in (400, 422, 429) and said.has(_TOO_LONG)):
        return RetryDecision("refuse", _input_too_long(asked, said), status=status)
    if status in _TRANSIENT or status >= 500:
        wait = retry_after(error.response.headers)
        return RetryDecision(
            "again",
            _classify_unavailable(asked, f"status {status}"),
            wait=wait,
            pause_all=status == 429 or wait is not None,
            status=status,
        )
    if status < 400 or status == 405 or (status == 404 and not said.names_parameter):
        return _not_an_endpoint(asked, status)
    return RetryDecision("refuse", _rejected(asked, status, said), status=status)


def _classify_stream_error(error: openai.APIError, asked: RequestInfo) -> RetryDecision:
    """An error that was sent after the status 200 of a stream."""
    said = _ErrorBody.by(error)
    if said.concerns(_BILLING):
        return RetryDecision("stop", _open_circuit(asked, 200, said.code), status=200)
    if said.has(_TOO_LONG):
        return RetryDecision("refuse", _input_too_long(asked, said), status=200)
    return RetryDecision(
        "again", _classify_unavailable(asked, "an error within the stream"), status=200
    )


@dataclass(frozen=True, slots=True)
class _ErrorBody:
    """A provider's own words on what is wrong."""

    code: str
    kind: str
    message: str

    @classmethod
    def by(cls, error: openai.APIError) -> _ErrorBody:
        body: Any = error.body
        fields = body if isinstance(body, Mapping) else {"message": body}
        message = fields.get("message") or fields.get("detail")
        return cls(
            _text(fields.get("code")),
            _text(fields.get("type")),
            _text(message)[:_MAX_MESSAGE_CHARACTERS],
        )

    def concerns(self, what: re.Pattern[str]) -> bool:
        return bool(what.fullmatch(self.code) or what.fullmatch(self.kind))

    def has(self, what: re.Pattern[str]) -> bool:
        return bool(what.fullmatch(self.code) or what.search(self.message))

    @property
    def names_parameter(self) -> bool:
        """Of a 404: that a file or a batch is not there, not the address itself."""
        return bool(self.kind) and not self.message.startswith(("Invalid URL", "Unknown request"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_page(reply: bytes) -> bool:
    return reply.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))


def _retry_once(asked: RequestInfo, reply: bytes, status: int) -> RetryDecision:
    if _is_page(reply):
        return _not_an_endpoint(asked, status)
    error = InvalidProviderResponse(
        f"{asked} answered with what is not JSON of the promised shape.",
        reply=reply,
        remedy="playhead quarantine shows the reply.",
    )
    return RetryDecision("doubt", error, status=status)


def _classify_unavailable(asked: RequestInfo, what: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"{asked} gives no answer: {what}.", remedy="It is tried again; see the provider's status."
    )


def _open_circuit(asked: RequestInfo, status: int, code: str) -> CircuitOpen:
    """Without the provider's own words, which may quote a key."""
    plain = code if re.fullmatch(r"\w{1,60}", code) else "no code"
    return CircuitOpen(
        f"{asked.provider} lets nobody in any more: status {status}, {plain}.",
        until=None,
        remedy=f"See to its key and billing, then: playhead engines resume {asked.provider}",
    )


def _model_missing(asked: RequestInfo) -> ModelUnavailable:
    return ModelUnavailable(
        f"{asked.provider} has no model {asked.model!r} for this key.",
        remedy="Choose one that it has: PLAYHEAD_TRANSCRIBER, PLAYHEAD_WRITER, PLAYHEAD_EMBEDDER.",
    )


def _input_too_long(asked: RequestInfo, said: _ErrorBody) -> InputTooLong:
    return InputTooLong(
        f"{asked} takes less at once: {said.message or said.code}", remedy="Send it in parts."
    )


def _rejected(asked: RequestInfo, status: int, said: _ErrorBody) -> RequestRejected:
    return RequestRejected(
        f"{asked} refuses this input: status {status}, {said.message or said.code or 'no reason'}",
        remedy="Another try would fail the same way; another engine may take it.",
    )


def _not_an_endpoint(asked: RequestInfo, status: int | None = None) -> RetryDecision:
    error = NotAnOpenAIEndpoint(
        f"What answers for {asked} does not speak OpenAI's protocol there.",
        remedy="Correct its base_url in PLAYHEAD_PROVIDERS; it usually ends in /v1.",
    )
    return RetryDecision("refuse", error, status=status)
