"""Request a JSON object from a text model, as a stream.

Uses the Responses API, or chat completions if a server has nothing else. A stream shows within
minutes that a server hangs, however long an answer takes. A truncated stream raises no error, so an
answer is valid only after the event that says how it ended. Nothing is stored at the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import openai

from playhead.core.usage import Endpoint, Usage
from playhead.providers.client_protocol import Deferrable, ProviderCall, ProviderClient, Reply
from playhead.providers.fallbacks import FallbackChain
from playhead.providers.model_catalog import TextModel
from playhead.providers.openai_tokenizer import BpeTokenizer
from playhead.providers.response_parsing import (
    invalid_response,
    json_object,
    plain_headers,
    token_count,
)

T = TypeVar("T")

#: Called at the start of an attempt; returns the callback that receives the text as it arrives.
OnText = Callable[[], Callable[[str], None]]

_OVERHEAD_TOKENS: Final = 50  # added to a prompt by the provider
_TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
_ENDS: Final = {
    "stop": "complete",
    "length": "too long",
    "content_filter": "refused",
}  # finish reasons of chat completions


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt for a JSON answer.

    ``schema``: JSON Schema of the answer. ``hint``: the same in words, for servers that cannot
    enforce a schema.
    """

    instructions: str
    text: str
    schema: Mapping[str, Any]
    hint: str


@dataclass(frozen=True, slots=True)
class Completion(Generic[T]):
    """The end of an answer and its usage.

    ``value`` is set if the answer is complete; otherwise ``why`` gives the reason.
    """

    ended: Literal["complete", "too long", "refused"]
    value: T | None
    reason: str
    used: Usage


@dataclass(frozen=True, slots=True)
class _StreamResult:
    """An answer as received."""

    ended: Any
    text: str
    reason: str
    usage: Any
    content: bytes


class _Variant(NamedTuple):
    endpoint: Endpoint
    form: Literal["json_schema", "json_object", "text"]


_VARIANTS: Final = (
    _Variant("responses", "json_schema"),
    _Variant("chat", "json_schema"),
    _Variant("chat", "json_object"),
    _Variant("chat", "text"),
)


def _ignore_text() -> Callable[[str], None]:
    return lambda _: None


class StructuredOutputClient:
    """A client for one model of one provider. Threads may share it."""

    def __init__(
        self, provider_client: ProviderClient, client: openai.OpenAI, model: TextModel
    ) -> None:
        self._provider_client = provider_client
        self._client = client
        self._model = model
        self._tokens = BpeTokenizer(model.encoding)
        self._fallbacks = FallbackChain(_VARIANTS[:1] if model.known else _VARIANTS)

    def complete(
        self, prompt: Prompt, parse: Callable[[str], T], on_text: OnText = _ignore_text
    ) -> Completion[T]:
        """Request an answer and return it with its usage.

        ``parse`` converts the text of a complete answer into a value, or raises ``ValueError``
        with the end of the sentence "The reply …". The callback of ``on_text`` receives the text
        before that, as it arrives. Raises the errors of ``ProviderClient.execute``.
        """
        max_usage = Usage(self.size(prompt), self._model.output_tokens)
        return self._fallbacks.call(
            lambda variant: self._execute(prompt, max_usage, variant, parse, on_text)
        )

    def size(self, prompt: Prompt) -> int:
        """Return the size of a prompt, in tokens."""
        texts = (prompt.instructions, prompt.text, prompt.hint, str(prompt.schema))
        return sum(map(self._tokens.count, texts)) + _OVERHEAD_TOKENS

    def _execute(
        self,
        prompt: Prompt,
        max_usage: Usage,
        variant: _Variant,
        parse: Callable[[str], T],
        on_text: OnText,
    ) -> Completion[T]:
        def reply(result: _StreamResult, headers: dict[str, str]) -> Reply[Completion[T]]:
            used = _usage(result.usage, max_usage)
            if result.ended != "complete":
                return Reply(Completion(result.ended, None, result.reason, used), used, headers)
            try:
                value = parse(result.text)
            except ValueError as error:
                raise invalid_response(str(error), result.content) from error
            return Reply(Completion("complete", value, "", used), used, headers)

        def read(content: bytes) -> Reply[Completion[T]]:
            return reply(_complete(json_object(content), content), {})

        deferrable = None
        if variant.endpoint == "responses":
            deferrable = Deferrable("/v1/responses", self._response_body(prompt), read)
        return self._provider_client.execute(
            ProviderCall(
                variant.endpoint,
                self._model.name,
                max_usage,
                lambda: reply(*self._send(prompt, variant, on_text())),
                deferrable,
            )
        )

    def _send(
        self, prompt: Prompt, variant: _Variant, on_delta: Callable[[str], None]
    ) -> tuple[_StreamResult, dict[str, str]]:
        raw = (
            self._responses(prompt)
            if variant.endpoint == "responses"
            else self._chat(prompt, variant)
        )
        if not raw.headers.get("content-type", "").startswith("text/event-stream"):
            raise invalid_response("is not a stream of events", raw.http_response.read())
        read = _read_responses if variant.endpoint == "responses" else _read_chat
        with closing(raw.parse()) as stream:  # closes a partly read stream
            return read(stream, on_delta), plain_headers(raw.headers)

    def _responses(self, prompt: Prompt) -> Any:
        body = self._response_body(prompt)
        return self._client.responses.with_raw_response.create(**body, stream=True)

    def _response_body(self, prompt: Prompt) -> dict[str, Any]:
        form = {"type": "json_schema", "name": "answer", "strict": True, "schema": prompt.schema}
        body: dict[str, Any] = {
            "model": self._model.name,
            "instructions": prompt.instructions,
            "input": prompt.text,
            "text": {"format": form},
            "max_output_tokens": self._model.output_tokens,
            "store": False,
        }
        if self._model.effort:
            body["reasoning"] = {"effort": self._model.effort}
        if self._model.temperature:
            body["temperature"] = 0
        return body

    def _chat(self, prompt: Prompt, variant: _Variant) -> Any:
        schema = {"name": "answer", "strict": True, "schema": prompt.schema}
        forms: dict[str, Any] = {
            "json_schema": {"type": "json_schema", "json_schema": schema},
            "json_object": {"type": "json_object"},
            "text": openai.omit,
        }
        return self._client.chat.completions.with_raw_response.create(
            model=self._model.name,
            messages=[
                {"role": "system", "content": f"{prompt.instructions} {prompt.hint}"},
                {"role": "user", "content": prompt.text},
            ],
            response_format=forms[variant.form],
            max_tokens=self._model.output_tokens,
            stream_options=openai.omit if variant.form == "text" else {"include_usage": True},
            store=False,
            stream=True,
        )


def _read_responses(stream: Any, on_delta: Callable[[str], None]) -> _StreamResult:
    received: list[str] = []
    for event in _events(stream, received):
        if event.get("type") == "response.output_text.delta":
            on_delta(event.get("delta") or "")
        if event.get("type") in _TERMINAL:
            return _complete(event.get("response") or {}, _count_bytes(received))
    raise invalid_response("is incomplete", _count_bytes(received))


def _complete(response: Mapping[str, Any], content: bytes) -> _StreamResult:
    """Parse the response object of the terminal event."""
    parts = [
        part
        for item in response.get("output") or ()
        if item.get("type") == "message"
        for part in item.get("content") or ()
    ]
    usage = response.get("usage")
    if refusals := [part.get("refusal") for part in parts if part.get("type") == "refusal"]:
        return _StreamResult("refused", "", str(refusals[0]), usage, content)
    if response.get("status") == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        ended = "too long" if reason == "max_output_tokens" else "refused"
        return _StreamResult(ended, "", str(reason), usage, content)
    if response.get("status") != "completed":
        raise invalid_response(f"reports a failure: {response.get('error')}", content)
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    return _StreamResult("complete", text, "", usage, content)


def _read_chat(stream: Any, on_delta: Callable[[str], None]) -> _StreamResult:
    received: list[str] = []
    text, refusal = "", ""
    ended, usage = None, None
    for chunk in _events(stream, received):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text += (more := delta.get("content") or "")
            on_delta(more)
            refusal += delta.get("refusal") or ""
            ended = choice.get("finish_reason") or ended
    if ended not in _ENDS:
        raise invalid_response("is incomplete", _count_bytes(received))
    if refusal:
        return _StreamResult("refused", "", refusal, usage, _count_bytes(received))
    return _StreamResult(_ENDS[ended], text, ended, usage, _count_bytes(received))


def _events(stream: Any, received: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the events as they arrive and append each to ``received``."""
    try:
        for event in stream:
            received.append(event.to_json(indent=None))
            yield event.to_dict()
    except ValueError as error:  # the library does not wrap it
        raise invalid_response("has an event that is not JSON", _count_bytes(received)) from error


def _count_bytes(received: list[str]) -> bytes:
    return "\n".join(chain(received, [""])).encode("utf-8", "surrogatepass")


def _usage(usage: Any, max_usage: Usage) -> Usage:
    """Return the reported usage; counts that are not reported are set to the maximum."""
    input_tokens = token_count(usage, "input_tokens", "prompt_tokens")
    output_tokens = token_count(usage, "output_tokens", "completion_tokens")
    return Usage(
        max_usage.input_tokens if input_tokens is None else input_tokens,
        max_usage.output_tokens if output_tokens is None else output_tokens,
    )
