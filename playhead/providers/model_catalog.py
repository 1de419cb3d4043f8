"""What OpenAI's models can do and cost, a row each: what decides what is sent to a model, and what
is believed of it.

The facts are those of OpenAI's model pages and of the docstrings of its client, read in November
2026. A model without a row is asked cautiously (``ladder.py``). Not here: when models end
(``playhead/core/model_deprecations.py``), what a request really used (the adapters).
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

#: What a transcription can come as: with a time for each word, with one for each segment and who
#: spoke it, with one for each segment, as bare text.
SpeechFormat = Literal["words", "speakers", "segments", "text"]
Encoding = Literal["cl100k_base", "o200k_base"]
Effort = Literal["none", "minimal", "low"]

#: Providers with a Batch API; what else speaks OpenAI's protocol has none.
BATCH_PROVIDERS: Final = frozenset({"openai"})

#: Every transcription model's longest file, 25 MB, less what surrounds it in a request.
MAX_FILE_BYTES: Final = 24_900_000
#: At most; OpenAI's estimates of a minute's price come to 10 to 17.
AUDIO_TOKENS_PER_SECOND: Final = 25
_SPEECH_TOKENS_PER_MINUTE: Final = 250


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars."""

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
    """``known``: there is a row for it, so that what it promises is insisted on."""

    name: str
    rates: Rates = Rates()
    known: bool = True

    @property
    def shutdown_date(self) -> date | None:
        """The day it is shut down; None where no end is announced."""
        return shutdown_date(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechModel(Model):
    """``formats``: what it can give, most telling first. ``longest_seconds`` of one file, beside
    the limit of ``LARGEST_FILE_BYTES``. ``chunking``: it wants to be told to cut long files.
    ``languages``: how many, for people."""

    formats: tuple[SpeechFormat, ...] = ("words", "segments", "text")
    max_seconds: float = 600.0
    chunking: bool = False
    languages: str = "many"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel(Model):
    """``input_tokens``: the most that is sent at once; ``output_tokens``: the most that is asked
    for, thinking included. ``temperature``: whether one may be sent. ``effort``: of thinking;
    None: nothing is said of it."""

    input_tokens: int = 250_000
    output_tokens: int = 16_000
    temperature: bool = False
    effort: Effort | None = None
    encoding: Encoding = "o200k_base"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorModel(Model):
    """``dimensions`` of its vectors, None: it must be asked. ``window_tokens``: the longest text it
    reads, in tokens of ``encoding``."""

    dimensions: int | None = None
    window_tokens: int = 256
    encoding: Encoding = "cl100k_base"


# gpt-4o's transcribers give at most 2,000 tokens, about ten minutes of speech; gpt-transcribe
# tells no limit, and is given as much. Whisper's limit is the file's size.
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

# Above 272,000 tokens of input the newest models cost twice as much: no request is that long.
# What the older ones may read and write is less.
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
    """A dated snapshot (``gpt-4o-2024-08-06``) can what its model can."""
    of_name = [row for row in rows if name == row.name or name.startswith(f"{row.name}-20")]
    return replace(of_name[0], name=name) if of_name else None


def speech_model(name: str) -> SpeechModel:
    """Its row, or for an unknown one what any server can be asked."""
    return _row(SPEECH_MODELS, name) or SpeechModel(name, known=False)


def text_model(name: str, *, of_openai: bool) -> TextModel:
    """Its row. OpenAI's own all read 128,000 tokens or more. Of other servers an unknown one may
    read 4,096, as those for small machines do unasked, and cut off what is longer in silence."""
    if row := _row(TEXT_MODELS, name):
        return row
    if of_openai:
        return TextModel(name, known=False, input_tokens=100_000)
    return TextModel(name, known=False, input_tokens=2_600, output_tokens=1_200)


def vector_model(name: str, *, of_openai: bool) -> VectorModel:
    """Its row. OpenAI's own all read 8,192 tokens; of other servers an unknown one may read 512 of
    its own, the least that is usual. Half as many of ours fit, even where a model makes two of
    each."""
    unknown = VectorModel(name, known=False, window_tokens=4_096 if of_openai else 256)
    return _row(VECTOR_MODELS, name) or unknown


def rates_of(provider: Provider, model: str) -> Rates | None:
    """OpenAI's own for a model with a row; nothing for a server without a key, which is one's own.
    None where the price is not known."""
    if provider.base_url and provider.api_key is None:
        return Rates()
    row = _row(_ROWS, model)
    return row.rates if row else None


def billing_rates(provider: Provider, model: str) -> Rates:
    """What is counted where a price is not known: of OpenAI's models the dearest with a row, so
    that a budget holds; of what another provider has and nobody else, nothing."""
    known = rates_of(provider, model)
    if known is not None:
        return known
    return Rates() if provider.base_url else _HIGHEST_RATES


def pricing(provider: Provider) -> Callable[[str, Usage], float]:
    """What a request to this provider costs, in US dollars, by model and use."""
    return lambda model, used: billing_rates(provider, model).cost_usd(used)


_HIGHEST_RATES: Final = Rates(
    max(row.rates.usd_per_million_input_tokens for row in _ROWS),
    max(row.rates.usd_per_million_output_tokens for row in _ROWS),
    max(row.rates.usd_per_audio_minute for row in _ROWS),
)


def batch_discount(provider: str) -> float:
    """Of the price, for an answer within a day (OpenAI's pricing page)."""
    return 0.5 if provider in BATCH_PROVIDERS else 1.0


def estimate_price(rates: Rates, batch_discount: float = 1.0) -> Price:
    """For estimates, which know how much is read: a document is about a quarter as long. Sound
    that is billed by tokens counts as much as talk without a pause makes of them."""
    minute = Usage(AUDIO_TOKENS_PER_SECOND * 60, _SPEECH_TOKENS_PER_MINUTE, 60.0)
    return Price(
        batch_discount=batch_discount,
        usd_per_million_tokens=rates.usd_per_million_input_tokens
        + rates.usd_per_million_output_tokens / 4,
        usd_per_audio_minute=rates.cost_usd(minute),
    )
