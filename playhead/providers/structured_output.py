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

_OVERHEAD_TOKENS: Final = 50  # that a provider adds to a prompt
_TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
_ENDS: Final = {"stop": "complete", "length": "too long", "content_filter": "refused"}  # of chat


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
    why: str
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
        self._ladder = FallbackChain(_VARIANTS[:1] if model.known else _VARIANTS)

    def complete(
        self, prompt: Prompt, believe: Callable[[str], T], listen: OnText = _ignore_text
    ) -> Completion[T]:
        """Request an answer and return it with its usage.

        ``believe`` converts the text of a complete answer into a value, or raises ``ValueError``
        with the end of the sentence "The reply …". The callback of ``listen`` receives the text
        before that, as it arrives. Raises the errors of ``ProviderClient.execute``.
        """
        at_most = Usage(self.size(prompt), self._model.output_tokens)
        return self._ladder.call(lambda way: self._ask(prompt, at_most, way, believe, listen))

    def size(self, prompt: Prompt) -> int:
        """Return the size of a prompt, in tokens."""
        texts = (prompt.instructions, prompt.text, prompt.hint, str(prompt.schema))
        return sum(map(self._tokens.count, texts)) + _OVERHEAD_TOKENS

    def _ask(
        self,
        prompt: Prompt,
        at_most: Usage,
        way: _Variant,
        believe: Callable[[str], T],
        listen: OnText,
    ) -> Completion[T]:
        def reply(told: _StreamResult, headers: dict[str, str]) -> Reply[Completion[T]]:
            used = _usage(told.usage, at_most)
            if told.ended != "complete":
                return Reply(Completion(told.ended, None, told.reason, used), used, headers)
            try:
                value = believe(told.text)
            except ValueError as error:
                raise invalid_response(str(error), told.content) from error
            return Reply(Completion("complete", value, "", used), used, headers)

        def read(content: bytes) -> Reply[Completion[T]]:
            return reply(_complete(json_object(content), content), {})

        deferrable = None
        if way.endpoint == "responses":
            deferrable = Deferrable("/v1/responses", self._response_body(prompt), read)
        return self._provider_client.execute(
            ProviderCall(
                way.endpoint,
                self._model.name,
                at_most,
                lambda: reply(*self._send(prompt, way, listen())),
                deferrable,
            )
        )

    def _send(
        self, prompt: Prompt, way: _Variant, hear: Callable[[str], None]
    ) -> tuple[_StreamResult, dict[str, str]]:
        raw = self._responses(prompt) if way.endpoint == "responses" else self._chat(prompt, way)
        if not raw.headers.get("content-type", "").startswith("text/event-stream"):
            raise invalid_response("is not a stream of events", raw.http_response.read())
        read = _read_responses if way.endpoint == "responses" else _read_chat
        with closing(raw.parse()) as stream:  # closes a partly read stream
            return read(stream, hear), plain_headers(raw.headers)

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

    def _chat(self, prompt: Prompt, way: _Variant) -> Any:
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
            response_format=forms[way.form],
            max_tokens=self._model.output_tokens,
            stream_options=openai.omit if way.form == "text" else {"include_usage": True},
            store=False,
            stream=True,
        )


def _read_responses(stream: Any, hear: Callable[[str], None]) -> _StreamResult:
    came: list[str] = []
    for event in _events(stream, came):
        if event.get("type") == "response.output_text.delta":
            hear(event.get("delta") or "")
        if event.get("type") in _TERMINAL:
            return _complete(event.get("response") or {}, _count_bytes(came))
    raise invalid_response("is incomplete", _count_bytes(came))


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
        why = (response.get("incomplete_details") or {}).get("reason")
        ended = "too long" if why == "max_output_tokens" else "refused"
        return _StreamResult(ended, "", str(why), usage, content)
    if response.get("status") != "completed":
        raise invalid_response(f"reports a failure: {response.get('error')}", content)
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    return _StreamResult("complete", text, "", usage, content)


def _read_chat(stream: Any, hear: Callable[[str], None]) -> _StreamResult:
    came: list[str] = []
    text, refusal = "", ""
    ended, usage = None, None
    for chunk in _events(stream, came):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text += (more := delta.get("content") or "")
            hear(more)
            refusal += delta.get("refusal") or ""
            ended = choice.get("finish_reason") or ended
    if ended not in _ENDS:
        raise invalid_response("is incomplete", _count_bytes(came))
    if refusal:
        return _StreamResult("refused", "", refusal, usage, _count_bytes(came))
    return _StreamResult(_ENDS[ended], text, ended, usage, _count_bytes(came))


def _events(stream: Any, came: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the events as they arrive and append each to ``came``."""
    try:
        for event in stream:
            came.append(event.to_json(indent=None))
            yield event.to_dict()
    except ValueError as error:  # the library does not wrap it
        raise invalid_response("has an event that is not JSON", _count_bytes(came)) from error


def _count_bytes(came: list[str]) -> bytes:
    return "\n".join(chain(came, [""])).encode("utf-8", "surrogatepass")


def _usage(usage: Any, at_most: Usage) -> Usage:
    """Return the reported usage; counts that are not reported are set to the maximum."""
    asked = token_count(usage, "input_tokens", "prompt_tokens")
    wrote = token_count(usage, "output_tokens", "completion_tokens")
    return Usage(
        at_most.input_tokens if asked is None else asked,
        at_most.output_tokens if wrote is None else wrote,
    )
