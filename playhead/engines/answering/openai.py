"""Answers by a language model: OpenAI's, or of any server that speaks its protocol (Ollama, vLLM,
Azure). Sentences are heard while the model still writes.

Not here: what is asked (``reply.py``), how (``providers/prompting.py``), what of it is believed
(``playhead/answers``).
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

#: Of all that a model is told besides question and passages.
_PROMPT_HASH: Final = content_hash([INSTRUCTIONS, SCHEMA_HINT, SCHEMA])[:16]
_CUT_OFF: Final = "The answer was cut off, as it became longer than the model may write."


class OpenAIAnswerer:
    """An ``Answerer``. Threads may share it."""

    def __init__(self, wire: ProviderClient, client: openai.OpenAI, model: TextModel) -> None:
        self._provider = wire.provider
        self._model = model
        self._prompter = StructuredOutputClient(wire, client, model)

    @property
    def engine(self) -> Engine:
        return Engine(self._provider, self._model.name, {"prompt": _PROMPT_HASH})

    def answer(self, inquiry: AnswerRequest, audience: AnswerSink) -> str | None:
        """See ``Answerer``. Sentences that came before an answer was cut off count; all of a
        stream that breaks off do not."""
        attempts: list[SentenceStream] = []

        def begin() -> SentenceStream:
            attempts.append(SentenceStream(audience))
            return attempts[-1]

        prompt = self._prompt(inquiry)
        answer = self._prompter.complete(prompt, parse_sentences, lambda: begin().feed)
        if answer.ended == "refused":
            raise RequestRejected(
                f"The model will not answer this: {answer.why}",
                remedy="Name another one in PLAYHEAD_ANSWERER; `extractive` refuses nothing.",
            )
        for statement in answer.value or ():
            if statement not in attempts[-1].heard:
                audience.on_sentence(statement)
        return None if answer.ended == "complete" else _CUT_OFF

    def _prompt(self, inquiry: AnswerRequest) -> Prompt:
        """With as many of the best excerpts as the model reads."""
        for count in range(len(inquiry.excerpts), 0, -1):
            prompt = _prompt(inquiry, inquiry.excerpts[:count])
            if self._prompter.size(prompt) <= self._model.input_tokens:
                return prompt
        raise InputTooLong(
            f"{self._model.name} does not read a question and a passage of this length.",
            remedy="Ask in fewer words, or name another model in PLAYHEAD_ANSWERER.",
        )


def _prompt(inquiry: AnswerRequest, excerpts: Sequence[Excerpt]) -> Prompt:
    return Prompt(INSTRUCTIONS, format_question(inquiry, excerpts), SCHEMA, SCHEMA_HINT)
