"""Writer for OpenAI's models and OpenAI-compatible servers (Ollama, vLLM, Azure).

A transcript that is longer than the model reads is written up part by part, and the parts are
merged. ``llm_reply.py`` has the prompt and the validation, ``providers/structured_output.py`` sends
the requests. The layout of its documents:

    # Title
    *Interview · 0:12:10 · language: en*
    Written by gpt-6-luna from the transcript; …
    ## A heading by the model
    [00:01:02] A paragraph, with a span over the seconds that it cites.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

import openai

from playhead.core.errors import RequestRejected
from playhead.core.records import Cost, Document, Engine, Kind, Price, Transcript
from playhead.core.timecode import format_timecode
from playhead.core.usage import Usage
from playhead.engines.writing.document_header import write_header, write_silence
from playhead.engines.writing.llm_reply import (
    INSTRUCTIONS,
    MERGE,
    PROMPT_HASH,
    SCHEMA,
    SCHEMA_HINT,
    Paragraph,
    WriteUp,
    WriteUpSection,
    describe_recording,
    join_write_ups,
    number_lines,
    parse_write_up,
)
from playhead.engines.writing.markdown_page import Page, escape_heading
from playhead.engines.writing.timed_sentences import SpokenSentence, timed_sentences
from playhead.providers.client_protocol import ProviderClient
from playhead.providers.model_catalog import Rates, TextModel, batch_discount, estimate_price
from playhead.providers.openai_tokenizer import BpeTokenizer
from playhead.providers.request_batching import RequestLimits, pack_requests
from playhead.providers.structured_output import Completion, Prompt, StructuredOutputClient

_LAYOUT_VERSION: Final = 1  # increase it with every change to the layout
_PROMPT_TOKENS: Final = 600  # of the instructions, the schema and the facts of a recording


class OpenAIWriter:
    """A thread-safe ``Writer``."""

    def __init__(
        self,
        provider_client: ProviderClient,
        client: openai.OpenAI,
        model: TextModel,
        *,
        rates: Rates,
    ) -> None:
        self._provider = provider_client.provider
        self._model = model
        self._rates = rates
        self._structured_client = StructuredOutputClient(provider_client, client, model)
        self._tokens = BpeTokenizer(model.encoding)

    @property
    def engine(self) -> Engine:
        parameters: dict[str, Any] = {
            "layout": _LAYOUT_VERSION,
            "prompt": PROMPT_HASH,
            "input_tokens": self._model.input_tokens,
            "effort": self._model.effort,
        }
        return Engine(self._provider, self._model.name, parameters)

    @property
    def price(self) -> Price:
        return estimate_price(self._rates, batch_discount(self._provider))

    def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
        """Write a document as in ``Writer``.

        A transcript without words needs no request. Raises ``RequestRejected`` if the model
        refuses, and the errors of ``ProviderClient.execute``.
        """
        page = Page()
        lines = timed_sentences(transcript)
        if not lines:
            write_header(page, transcript, title=title, kind=kind, note=self._note)
            write_silence(page, transcript.duration_seconds)
            return self._document(title, page), Cost()
        run = _WriteUpRun(
            self._structured_client,
            self._model,
            self._tokens,
            describe_recording(transcript, title, kind),
        )
        write_up = run.run(lines, _speakers(lines, transcript))
        write_header(page, transcript, title=write_up.title or title, kind=kind, note=self._note)
        for part in write_up.parts:
            _write_part(page, part, lines)
        return self._document(write_up.title or title, page), self._usage(run.used)

    @property
    def _note(self) -> str:
        return (
            f"Written by {self._model.name} from the transcript; "
            "the seconds before a paragraph are where it was said."
        )

    def _document(self, title: str, page: Page) -> Document:
        metadata = {"writer": self._model.name, "sections": page.sections}
        return Document(title, page.content, "markdown", tuple(page.spans), metadata)

    def _usage(self, used: Sequence[Usage]) -> Cost:
        tokens = sum(usage.input_tokens + usage.output_tokens for usage in used)
        return Cost(tokens, sum(map(self._rates.cost_usd, used)))


class _WriteUpRun:
    """The state of one write-up; ``used`` has the usage of each answer."""

    def __init__(
        self,
        structured_client: StructuredOutputClient,
        model: TextModel,
        tokens: BpeTokenizer,
        facts: str,
    ) -> None:
        self._structured_client = structured_client
        self._limits = RequestLimits(1 << 30, model.input_tokens - _PROMPT_TOKENS)
        self._tokens = tokens
        self._facts = facts
        self.used: list[Usage] = []

    def run(self, lines: Sequence[SpokenSentence], speakers: Sequence[str | None]) -> WriteUp:
        """Return the write-up, which cites positions in ``lines`` from 1."""
        numbered_lines = number_lines(lines, speakers, start=1)
        sizes = [self._tokens.count(line) + 1 for line in numbered_lines]
        parts = pack_requests(sizes, self._limits)
        return self._merge_all(
            [write_up for part in parts for write_up in self._part(numbered_lines, part)]
        )

    def _part(self, numbered_lines: Sequence[str], part: range) -> list[WriteUp]:
        """Return the write-ups of a range of lines.

        The range is halved if its write-up does not fit an answer. Raises ``RequestRejected`` if
        the write-up of a single line does not fit.
        """
        known = range(part.start + 1, part.stop + 1)
        answer = self._request(
            INSTRUCTIONS, "\n".join(numbered_lines[part.start : part.stop]), known
        )
        if answer.value is not None:
            return [answer.value]
        if len(part) == 1:
            raise _rejected(f"its answer about a single sentence is incomplete ({answer.reason})")
        middle = (part.start + part.stop) // 2
        return [
            *self._part(numbered_lines, range(part.start, middle)),
            *self._part(numbered_lines, range(middle, part.stop)),
        ]

    def _merge_all(self, write_ups: list[WriteUp]) -> WriteUp:
        """Merge neighbouring write-ups, as many as fit a request, until one is left.

        If their number no longer decreases, they are concatenated.
        """
        while len(write_ups) > 1:
            sizes = [self._tokens.count(write_up.material) for write_up in write_ups]
            groups = [write_ups[g.start : g.stop] for g in pack_requests(sizes, self._limits)]
            if len(groups) == len(write_ups):
                return join_write_ups(write_ups)
            write_ups = [self._merge(group) for group in groups]
        return write_ups[0]

    def _merge(self, group: Sequence[WriteUp]) -> WriteUp:
        if len(group) == 1:
            return group[0]
        known = set().union(*(write_up.cites for write_up in group))
        material = "\n\n".join(write_up.material for write_up in group)
        answer = self._request(f"{INSTRUCTIONS} {MERGE}", material, known)
        return join_write_ups(group) if answer.value is None else answer.value

    def _request(
        self, instructions: str, material: str, known: range | set[int]
    ) -> Completion[WriteUp]:
        prompt = Prompt(instructions, self._facts + material, SCHEMA, SCHEMA_HINT)
        answer = self._structured_client.complete(prompt, lambda text: parse_write_up(text, known))
        self.used.append(answer.used)
        if answer.ended == "refused":
            raise _rejected(answer.reason)
        return answer


def _rejected(reason: str) -> RequestRejected:
    return RequestRejected(
        f"The model refused to write the document: {reason}",
        remedy="Set PLAYHEAD_WRITER to another model; `extractive` never refuses.",
    )


def _speakers(lines: Sequence[SpokenSentence], transcript: Transcript) -> list[str | None]:
    """Return the speaker at the start of each sentence, or None."""
    starts = [segment.start for segment in transcript.segments]
    at = [bisect_right(starts, line.start) - 1 for line in lines]
    return [transcript.segments[i].speaker if i >= 0 else None for i in at]


def _write_part(page: Page, part: WriteUpSection, lines: Sequence[SpokenSentence]) -> None:
    times = [_seconds(paragraph, lines) for paragraph in part.paragraphs]
    start, end = min(start for start, _ in times), max(end for _, end in times)
    with page.section(
        escape_heading(part.heading) or f"{format_timecode(start)}–{format_timecode(end)}",
        start,
        end,
    ):
        for paragraph, (begin, until) in zip(part.paragraphs, times, strict=True):
            page.add(f"\n[{format_timecode(begin)}] ")
            page.quote(paragraph.text, begin, until)
            page.add("\n")


def _seconds(paragraph: Paragraph, lines: Sequence[SpokenSentence]) -> tuple[float, float]:
    cited = [lines[number - 1] for number in paragraph.cites]
    return cited[0].start, max(line.end for line in cited)
