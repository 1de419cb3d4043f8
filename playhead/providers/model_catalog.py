"""Capabilities and prices of OpenAI's models, one row per model.

They decide what is sent to a model and which replies are valid. The facts are from OpenAI's model
pages and the docstrings of its client, read in November 2026. A model without a row is called
cautiously (``fallbacks.py``). Shutdown dates are in ``playhead/core/model_deprecations.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal, TypeVar

from playhead.core.model_deprecations import shutdown_date
from playhead.core.records import Price
from playhead.core.settings import Provider
from playhead.core.usage import Usage

#: Formats of a transcription: times per word, times and speaker per segment, times per segment,
#: plain text.
SpeechFormat = Literal["words", "speakers", "segments", "text"]
Encoding = Literal["cl100k_base", "o200k_base"]
Effort = Literal["none", "minimal", "low"]

#: Providers with a Batch API; other servers with OpenAI's protocol have none.
BATCH_PROVIDERS: Final = frozenset({"openai"})

#: Maximum file size of all transcription models, 25 MB, less the rest of the request.
MAX_FILE_BYTES: Final = 24_900_000
#: Maximum; OpenAI's estimates of the price per minute correspond to 10 to 17.
AUDIO_TOKENS_PER_SECOND: Final = 25
_SPEECH_TOKENS_PER_MINUTE: Final = 250


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in US dollars."""

    usd_per_million_input_tokens: float = 0.0
    usd_per_million_output_tokens: float = 0.0
    usd_per_audio_minute: float = 0.0

    def cost_usd(self, used: Usage) -> float:
        return (
            used.input_tokens / 1_000_000 * self.usd_per_million_input_tokens
            + used.output_tokens / 1_000_000 * self.usd_per_million_output_tokens
            + used.audio_seconds / 60 * self.usd_per_audio_minute
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a provider.

    ``known``: the catalog has a row for it, so that its capabilities are enforced.
    """

    name: str
    rates: Rates = Rates()
    known: bool = True

    @property
    def shutdown_date(self) -> date | None:
        """Return the day the model is shut down, or None if no end is announced."""
        return shutdown_date(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechModel(Model):
    """A speech-to-text model.

    ``formats``: supported output formats, most detailed first. ``max_seconds``: maximum length of
    one file, in addition to the limit ``MAX_FILE_BYTES``. ``chunking``: long files need the
    chunking option. ``languages``: the number of languages, as text for people.
    """

    formats: tuple[SpeechFormat, ...] = ("words", "segments", "text")
    max_seconds: float = 600.0
    chunking: bool = False
    languages: str = "many"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel(Model):
    """A text model.

    ``input_tokens``: maximum sent per request. ``output_tokens``: maximum requested, including
    reasoning. ``temperature``: the model accepts one. ``effort``: reasoning effort; None if it is
    not sent.
    """

    input_tokens: int = 250_000
    output_tokens: int = 16_000
    temperature: bool = False
    effort: Effort | None = None
    encoding: Encoding = "o200k_base"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorModel(Model):
    """An embedding model.

    ``dimensions``: of its vectors; None if the model must be asked. ``window_tokens``: maximum
    length of a text, in tokens of ``encoding``.
    """

    dimensions: int | None = None
    window_tokens: int = 256
    encoding: Encoding = "cl100k_base"


# gpt-4o's transcribers return at most 2,000 tokens, about ten minutes of speech; gpt-transcribe
# documents no limit and gets the same. Whisper's limit is the file size.
SPEECH_MODELS: Final = (
    SpeechModel(
        "gpt-transcribe", Rates(usd_per_audio_minute=0.0045), formats=("text",), max_seconds=480
    ),
    SpeechModel(
        "whisper-1",
        Rates(usd_per_audio_minute=0.006),
        formats=("words", "segments", "text"),
        max_seconds=1_500,
        languages="99",
    ),
    SpeechModel("gpt-4o-transcribe", Rates(2.5, 10.0), formats=("text",), max_seconds=480),
    SpeechModel("gpt-4o-mini-transcribe", Rates(1.25, 5.0), formats=("text",), max_seconds=480),
    SpeechModel(
        "gpt-4o-transcribe-diarize",
        Rates(2.5, 10.0),
        formats=("speakers", "text"),
        max_seconds=480,
        chunking=True,
    ),
)

# Above 272,000 input tokens the newest models cost twice as much: no request is that long. The
# limits of older models are lower.
TEXT_MODELS: Final = (
    TextModel("gpt-6-luna", Rates(0.10, 0.50), effort="low"),
    TextModel("gpt-6.1-terra", Rates(1.0, 5.0), effort="low"),
    TextModel("gpt-6.1-sol", Rates(2.0, 10.0), effort="low"),
    TextModel("gpt-5-nano", Rates(0.05, 0.40), effort="minimal"),
    TextModel("gpt-5-mini", Rates(0.25, 2.0), effort="minimal"),
    TextModel("gpt-5.4-nano", Rates(0.20, 1.25), effort="low"),
    TextModel("gpt-4.1", Rates(2.0, 8.0), temperature=True),
    TextModel("gpt-4.1-mini", Rates(0.40, 1.60), temperature=True),
    TextModel("gpt-4o", Rates(2.50, 10.0), input_tokens=100_000, temperature=True),
    TextModel("gpt-4o-mini", Rates(0.15, 0.60), input_tokens=100_000, temperature=True),
)

VECTOR_MODELS: Final = (
    VectorModel("text-embedding-3-small", Rates(0.02), dimensions=1536, window_tokens=8_192),
    VectorModel("text-embedding-3-large", Rates(0.13), dimensions=3072, window_tokens=8_192),
)

_ROWS: Final[tuple[Model, ...]] = (*SPEECH_MODELS, *TEXT_MODELS, *VECTOR_MODELS)

_M = TypeVar("_M", bound=Model)


def _row(rows: tuple[_M, ...], name: str) -> _M | None:
    """Return the row of a model, or None.

    A dated snapshot (``gpt-4o-2024-08-06``) has the row of its model.
    """
    matches = [row for row in rows if name == row.name or name.startswith(f"{row.name}-20")]
    return replace(matches[0], name=name) if matches else None


def speech_model(name: str) -> SpeechModel:
    """Return the model's row; an unknown model gets what any server supports."""
    return _row(SPEECH_MODELS, name) or SpeechModel(name, known=False)


def text_model(name: str, *, of_openai: bool) -> TextModel:
    """Return the model's row, or cautious limits for an unknown model.

    All models of OpenAI read 128,000 tokens or more. An unknown model of another server may read
    4,096, the default of servers for small machines, and silently truncate longer input.
    """
    if row := _row(TEXT_MODELS, name):
        return row
    if of_openai:
        return TextModel(name, known=False, input_tokens=100_000)
    return TextModel(name, known=False, input_tokens=2_600, output_tokens=1_200)


def vector_model(name: str, *, of_openai: bool) -> VectorModel:
    """Return the model's row, or cautious limits for an unknown model.

    All models of OpenAI read 8,192 tokens. An unknown model of another server may read 512 of its
    own tokens, the usual minimum. Half as many of ours fit even if it splits each of them in two.
    """
    unknown = VectorModel(name, known=False, window_tokens=4_096 if of_openai else 256)
    return _row(VECTOR_MODELS, name) or unknown


def rates_of(provider: Provider, model: str) -> Rates | None:
    """Return the model's rates, or None if its price is unknown.

    Models with a row have OpenAI's rates. A server without a key belongs to the user and costs
    nothing.
    """
    if provider.base_url and provider.api_key is None:
        return Rates()
    row = _row(_ROWS, model)
    return row.rates if row else None


def billing_rates(provider: Provider, model: str) -> Rates:
    """Return the rates to bill, also if the price is unknown.

    An unknown model of OpenAI is billed at the highest rates in the catalog, so that a budget
    holds; an unknown model of another provider costs nothing.
    """
    rates = rates_of(provider, model)
    if rates is not None:
        return rates
    return Rates() if provider.base_url else _HIGHEST_RATES


def pricing(provider: Provider) -> Callable[[str, Usage], float]:
    """Return a function from model and usage to the cost at this provider, in US dollars."""
    return lambda model, used: billing_rates(provider, model).cost_usd(used)


_HIGHEST_RATES: Final = Rates(
    max(row.rates.usd_per_million_input_tokens for row in _ROWS),
    max(row.rates.usd_per_million_output_tokens for row in _ROWS),
    max(row.rates.usd_per_audio_minute for row in _ROWS),
)


def batch_discount(provider: str) -> float:
    """Return the factor on the price for batch mode (OpenAI's pricing page)."""
    return 0.5 if provider in BATCH_PROVIDERS else 1.0


def estimate_price(rates: Rates, batch_discount: float = 1.0) -> Price:
    """Return a price for estimates, which know only how much a model reads.

    The output of a document is assumed to be a quarter of its input. Audio billed by tokens is
    priced like speech without pauses.
    """
    minute = Usage(AUDIO_TOKENS_PER_SECOND * 60, _SPEECH_TOKENS_PER_MINUTE, 60.0)
    return Price(
        batch_discount=batch_discount,
        usd_per_million_tokens=rates.usd_per_million_input_tokens
        + rates.usd_per_million_output_tokens / 4,
        usd_per_audio_minute=rates.cost_usd(minute),
    )
