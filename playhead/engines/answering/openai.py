"""Answerer for OpenAI's models and OpenAI-compatible servers (Ollama, vLLM, Azure).

Sentences are streamed while the model is still writing. ``llm_reply.py`` has the prompt and the
parser, ``providers/structured_output.py`` sends the requests, ``playhead/answers`` verifies the
citations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import openai

from playhead.core.errors import InputTooLong, RequestRejected
from playhead.core.protocols.answerer import AnswerRequest, AnswerSink, Excerpt
from playhead.core.records import Engine, content_hash
from playhead.engines.answering.llm_reply import (
    INSTRUCTIONS,
    SCHEMA,
    SCHEMA_HINT,
    SentenceStream,
    format_question,
    parse_sentences,
)
from playhead.providers.client_protocol import ProviderClient
from playhead.providers.model_catalog import TextModel
from playhead.providers.structured_output import Prompt, StructuredOutputClient

#: Hash of the whole prompt except the question and the excerpts.
_PROMPT_HASH: Final = content_hash([INSTRUCTIONS, SCHEMA_HINT, SCHEMA])[:16]
_CUT_OFF: Final = "The answer was cut off, as it became longer than the model may write."


class OpenAIAnswerer:
    """A thread-safe ``Answerer``."""

    def __init__(
        self, provider_client: ProviderClient, client: openai.OpenAI, model: TextModel
    ) -> None:
        self._provider = provider_client.provider
        self._model = model
        self._structured_client = StructuredOutputClient(provider_client, client, model)

    @property
    def engine(self) -> Engine:
        return Engine(self._provider, self._model.name, {"prompt": _PROMPT_HASH})

    def answer(self, request: AnswerRequest, sink: AnswerSink) -> str | None:
        """Answer as in ``Answerer``.

        Sentences received before an answer reached its maximum length count; the sentences of an
        interrupted stream do not.
        """
        attempts: list[SentenceStream] = []

        def begin() -> SentenceStream:
            attempts.append(SentenceStream(sink))
            return attempts[-1]

        prompt = self._prompt(request)
        answer = self._structured_client.complete(prompt, parse_sentences, lambda: begin().feed)
        if answer.ended == "refused":
            raise RequestRejected(
                f"The model refused to answer: {answer.reason}",
                remedy="Set PLAYHEAD_ANSWERER to another model; `extractive` never refuses.",
            )
        for sentence in answer.value or ():
            if sentence not in attempts[-1].sentences:
                sink.on_sentence(sentence)
        return None if answer.ended == "complete" else _CUT_OFF

    def _prompt(self, request: AnswerRequest) -> Prompt:
        """Build the prompt with as many of the best excerpts as fit the model.

        Raises ``InputTooLong`` if not even one fits.
        """
        for count in range(len(request.excerpts), 0, -1):
            prompt = _prompt(request, request.excerpts[:count])
            if self._structured_client.size(prompt) <= self._model.input_tokens:
                return prompt
        raise InputTooLong(
            f"The question and one passage exceed the context window of {self._model.name}.",
            remedy="Shorten the question, or set PLAYHEAD_ANSWERER to another model.",
        )


def _prompt(request: AnswerRequest, excerpts: Sequence[Excerpt]) -> Prompt:
    return Prompt(INSTRUCTIONS, format_question(request, excerpts), SCHEMA, SCHEMA_HINT)
