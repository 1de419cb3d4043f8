"""Speech recognition by OpenAI's models and OpenAI-compatible servers (speaches, vLLM, Azure).

It recognizes one piece of audio and validates the response against the piece. Splitting and the
times of the recording are in ``piecewise.py``, checks for loops and invented words in
``hallucinations.py``, words without times in ``word_times.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, TypeVar

import openai

from playhead.core.audio import Samples
from playhead.core.errors import InputTooLong, LanguageUnsupported, RequestRejected
from playhead.core.protocols.transcriber import Recognition
from playhead.core.records import Engine, Price, Segment, Word
from playhead.core.usage import Usage
from playhead.engines.transcription.flac import FLAC_BYTES_PER_SECOND, encode_flac
from playhead.engines.transcription.languages import language_code
from playhead.media.decode import RATE
from playhead.providers.client_protocol import ProviderCall, ProviderClient, Reply
from playhead.providers.fallbacks import FallbackChain
from playhead.providers.model_catalog import (
    AUDIO_TOKENS_PER_SECOND,
    MAX_FILE_BYTES,
    Rates,
    SpeechFormat,
    SpeechModel,
    estimate_price,
)
from playhead.providers.response_parsing import (
    invalid_response,
    json_object,
    plain_headers,
    token_count,
)
from playhead.transcripts.word_positions import TOLERANCE_SECONDS

_REQUEST_VERSION: Final = 1  # increase it with every change to requests or their parsing

#: The request parameters of each format. ``prompt`` is never sent: it comes back as text where
#: there is no speech.
_REQUEST: Final[Mapping[SpeechFormat, Mapping[str, Any]]] = {
    "words": {
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
    },
    "segments": {"response_format": "verbose_json", "timestamp_granularities": ["segment"]},
    "speakers": {"response_format": "diarized_json"},
    "text": {"response_format": "json"},
}

_MAX_OUTPUT_TOKENS: Final = 2_000
#: Maximum overrun of the last word; some engines count in steps of a second.
_LATE_SECONDS: Final = 1.0

_Reply = Mapping[str, Any]
_Timed = TypeVar("_Timed", tuple[Word, ...], tuple[Segment, ...])


class OpenAIRecognizer:
    """A thread-safe ``SpeechRecognizer``."""

    def __init__(
        self,
        provider_client: ProviderClient,
        client: openai.OpenAI,
        model: SpeechModel,
        *,
        rates: Rates,
        concurrency: int,
    ) -> None:
        self._provider_client = provider_client
        self._client = client
        self._model = model
        self._rates = rates
        self._fallbacks = FallbackChain(model.formats[:1] if model.known else model.formats)
        self.concurrency = concurrency

    @property
    def engine(self) -> Engine:
        """Return the engine's name, its model and the version of its requests.

        The format that an unknown model serves is not included, since it is found out by trying.
        """
        parameters = {"request": _REQUEST_VERSION}
        return Engine(self._provider_client.provider, self._model.name, parameters)

    @property
    def price(self) -> Price:
        return estimate_price(self._rates)

    @property
    def max_seconds(self) -> float:
        """Return the maximum length of a piece in seconds.

        It fits a file of 25 MB as FLAC of noise, or is less if the model accepts less.
        """
        return min(self._model.max_seconds, MAX_FILE_BYTES / FLAC_BYTES_PER_SECOND)

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        """Recognize speech as in ``SpeechRecognizer``.

        Raises ``InputTooLong`` for a piece longer than ``max_seconds``.
        """
        seconds = len(sound) / RATE
        if seconds > self.max_seconds + TOLERANCE_SECONDS:
            raise InputTooLong(
                f"A piece is {seconds:.0f} s long; the maximum of {self._model.name} is "
                f"{self.max_seconds:.0f}.",
                remedy="Split it into pieces of at most max_seconds.",
            )
        file = ("piece.flac", encode_flac(sound), "audio/flac")
        try:
            return self._fallbacks.call(lambda form: self._request(file, seconds, language, form))
        except RequestRejected as error:
            if language and "language" in str(error).lower():
                raise _unsupported(self._model.name, language) from error
            raise

    def _request(
        self, file: tuple[str, bytes, str], seconds: float, language: str | None, form: SpeechFormat
    ) -> Recognition:
        max_usage = self._max_usage(seconds)

        def send() -> Reply[Recognition]:
            raw = self._client.audio.transcriptions.with_raw_response.create(
                file=file,
                model=self._model.name,
                language=language or openai.omit,
                chunking_strategy="auto" if self._model.chunking else openai.omit,
                **_REQUEST[form],
            )
            reply = json_object(raw.content)
            recognition = _Checked(reply, raw.content, seconds).recognition(
                form, require_times=self._model.known
            )
            return Reply(
                recognition, _used(reply.get("usage"), max_usage), plain_headers(raw.headers)
            )

        return self._provider_client.execute(
            ProviderCall("transcriptions", self._model.name, max_usage, send)
        )

    def _max_usage(self, seconds: float) -> Usage:
        if self._rates.usd_per_million_input_tokens:  # billed by tokens
            tokens = math.ceil(seconds * AUDIO_TOKENS_PER_SECOND)
            return Usage(tokens, _MAX_OUTPUT_TOKENS, seconds)
        return Usage(audio_seconds=seconds)


def _used(usage: Any, max_usage: Usage) -> Usage:
    """Return the usage that the response reports, or the maximum where it reports none."""
    input_tokens, output_tokens = (
        token_count(usage, "input_tokens"),
        token_count(usage, "output_tokens"),
    )
    if input_tokens is not None:
        return replace(max_usage, input_tokens=input_tokens, output_tokens=output_tokens or 0)
    seconds = usage.get("seconds") if isinstance(usage, dict) else None
    if isinstance(seconds, int | float) and seconds >= 0:
        return Usage(audio_seconds=float(seconds))
    return max_usage


class _Checked:
    """A response, validated against the piece that it belongs to."""

    def __init__(self, reply: _Reply, content: bytes, seconds: float) -> None:
        self._reply = reply
        self._content = content
        self._seconds = seconds

    def recognition(self, form: SpeechFormat, *, require_times: bool) -> Recognition:
        """Return the validated result in the given format.

        ``require_times`` is True if the model is known to give times in this format, so that a
        response without them is invalid. Raises ``InvalidProviderResponse``.
        """
        text = self._reply.get("text")
        if not isinstance(text, str):
            raise invalid_response("has no text", self._content)
        words = self._words() if form == "words" else None
        segments = self._segments() if form != "text" else None
        if not text.strip() and (words or segments):
            raise invalid_response("has words but no text", self._content)
        timed = words if form == "words" else segments
        if require_times and form != "text" and text.strip() and not timed:
            raise invalid_response(f"has a text but no {form}", self._content)
        return Recognition(text.strip(), self._language(), words, segments)

    def _words(self) -> tuple[Word, ...] | None:
        rows = self._rows("words")
        if rows is None:
            return None
        words = tuple(Word(self._text_of(row, "word"), *self._times(row)) for row in rows)
        return self._in_order(tuple(word for word in words if word.word))

    def _segments(self) -> tuple[Segment, ...] | None:
        rows = self._rows("segments")
        if rows is None:
            return None
        segments = tuple(
            Segment(self._text_of(row, "text"), *self._times(row), _speaker(row)) for row in rows
        )
        return self._in_order(tuple(segment for segment in segments if segment.text))

    def _rows(self, name: str) -> list[Any] | None:
        rows = self._reply.get(name)
        if rows is not None and not isinstance(rows, list):
            raise invalid_response(f"has {name} that are not a list", self._content)
        return rows

    def _text_of(self, row: Any, name: str) -> str:
        value = row.get(name) if isinstance(row, dict) else None
        if not isinstance(value, str):
            raise invalid_response(f"has a {name} that is not text", self._content)
        return value.strip()

    def _times(self, row: Any) -> tuple[float, float]:
        start, end = row.get("start"), row.get("end")
        if not (_is_second(start) and _is_second(end)):
            raise invalid_response("has times that are not numbers", self._content)
        if not -TOLERANCE_SECONDS <= start <= end <= self._seconds + _LATE_SECONDS:
            raise invalid_response(
                f"has a time outside its {self._seconds:.2f} s: {start} to {end}", self._content
            )
        return min(max(start, 0.0), self._seconds), min(end, self._seconds)

    def _in_order(self, timed: _Timed) -> _Timed:
        for before, after in pairwise(timed):
            if after.start < before.start - TOLERANCE_SECONDS:
                raise invalid_response(
                    f"goes back in time: from {before.start} to {after.start} s", self._content
                )
        return timed

    def _language(self) -> str | None:
        languages = self._reply.get("languages")
        first = languages[0] if isinstance(languages, list) and languages else None
        if isinstance(first, dict):
            first = first.get("code")
        return language_code(self._reply.get("language")) or language_code(first)


def _is_second(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _speaker(row: Any) -> str | None:
    speaker = row.get("speaker")
    return speaker if isinstance(speaker, str) and speaker else None


def _unsupported(model: str, language: str) -> LanguageUnsupported:
    return LanguageUnsupported(
        f"{model} does not support the language {language!r}.",
        remedy="Set PLAYHEAD_TRANSCRIBER to another engine, or let the language be detected.",
    )
