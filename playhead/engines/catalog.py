"""The catalog of all engines that settings can name, with their facts.

The facts are output formats, prices, shutdown dates and the settings that are missing to use an
engine. ``registry.py`` builds the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from playhead.core.model_deprecations import shutdown_date
from playhead.core.packaged_models import WHISPER_MODELS
from playhead.core.settings import Settings
from playhead.providers.model_catalog import (
    SPEECH_MODELS,
    TEXT_MODELS,
    VECTOR_MODELS,
    Model,
    SpeechModel,
    TextModel,
    VectorModel,
    rates_of,
    speech_model,
    text_model,
    vector_model,
)
from playhead.providers.model_names import missing_setting, parse_remote_model

Role = Literal["transcriber", "writer", "answerer", "embedder"]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Facts about an engine.

    ``name`` is the engine's name in settings. ``chosen`` is True if the settings name it, even if
    only for some recordings. ``output_formats`` are a transcriber's; ``dimensions`` and
    ``window_tokens`` are an embedder's. Prices are in US dollars, or None if they are not known.
    ``ended`` is True if the model is shut down today or was before. ``missing_setting`` is what is
    missing to use the engine, or None.
    """

    role: Role
    name: str
    chosen: bool
    local: bool
    output_formats: tuple[str, ...] = ()
    languages: str = ""
    dimensions: int | None = None
    window_tokens: int | None = None
    usd_a_million_tokens: tuple[float, float] | None = (0.0, 0.0)  # input, output
    usd_an_audio_minute: float | None = 0.0
    ends: date | None = None
    ended: bool = False
    missing_setting: str | None = None


def list_engines(settings: Settings, today: date) -> list[EngineFacts]:
    """Return the engines of this machine, OpenAI's, and all others that settings name."""
    known = [*_local(settings), *_openai(settings, today)]
    names = {(facts.role, facts.name) for facts in known}
    return [
        *known,
        *(
            in_setting
            for in_setting in _in_settings(settings, today)
            if (in_setting.role, in_setting.name) not in names
        ),
    ]


def _local(settings: Settings) -> Iterator[EngineFacts]:
    """Yield the local engines.

    ``stub`` invents its results, for benchmarks.
    """
    languages = {"whisper-base": "99", "whisper-tiny.en": "en", "stub": "any"}
    for name in (*WHISPER_MODELS, "stub"):
        chosen = name in _named(settings, "transcriber")
        yield EngineFacts("transcriber", name, chosen, True, ("words", "segments"), languages[name])
    roles: tuple[Role, ...] = ("writer", "answerer")
    for role in roles:
        yield EngineFacts(role, "extractive", "extractive" in _named(settings, role), True)
    for name, size, window in (
        ("minilm", 384, 254),
        ("wordllama", 256, 8192),
        ("stub", 64, 512),
    ):
        chosen = name in _named(settings, "embedder")
        yield EngineFacts("embedder", name, chosen, True, dimensions=size, window_tokens=window)


def _openai(settings: Settings, today: date) -> Iterator[EngineFacts]:
    for row in (*SPEECH_MODELS, *TEXT_MODELS, *VECTOR_MODELS):
        yield _remote(settings, _role(row), f"openai:{row.name}", row, today)


def _in_settings(settings: Settings, today: date) -> Iterator[EngineFacts]:
    """Yield the remote engines that settings name.

    They include models of other servers and models newer than the catalog. An answerer is a text
    model like a writer.
    """
    factories: dict[Role, Callable[[str, bool], Model]] = {
        "transcriber": lambda name, _: speech_model(name),
        "writer": lambda name, of_openai: text_model(name, of_openai=of_openai),
        "answerer": lambda name, of_openai: text_model(name, of_openai=of_openai),
        "embedder": lambda name, of_openai: vector_model(name, of_openai=of_openai),
    }
    for role, row in factories.items():
        for name in sorted(_named(settings, role)):
            if named := parse_remote_model(name):
                provider = settings.provider(named.provider)
                of_openai = provider is not None and provider.base_url is None
                yield _remote(settings, role, name, row(named.model, of_openai), today)


def _named(settings: Settings, role: Role) -> set[str]:
    """Return the engine names in settings: the default, and those for organisations and kinds."""
    names = [getattr(engine, role, None) for engine in settings.engines.values()]
    return {getattr(settings, role), *filter(None, names)}


def _remote(settings: Settings, role: Role, name: str, row: Model, today: date) -> EngineFacts:
    named = parse_remote_model(name)
    assert named is not None
    provider = settings.provider(named.provider)
    rates = rates_of(provider, row.name) if provider else None
    ends = shutdown_date(row.name)
    vectors = row if isinstance(row, VectorModel) else None
    return EngineFacts(
        role,
        name,
        chosen=name in _named(settings, role),
        local=False,
        output_formats=row.formats if isinstance(row, SpeechModel) else (),
        languages=row.languages if isinstance(row, SpeechModel) else "",
        dimensions=named.dimensions or (vectors.dimensions if vectors else None),
        window_tokens=vectors.window_tokens if vectors else None,
        usd_a_million_tokens=(
            rates.usd_per_million_input_tokens,
            rates.usd_per_million_output_tokens,
        )
        if rates
        else None,
        usd_an_audio_minute=rates.usd_per_audio_minute if rates else None,
        ends=ends,
        ended=ends is not None and ends <= today,
        missing_setting=missing_setting(settings, named.provider),
    )


def _role(row: Model) -> Role:
    if isinstance(row, SpeechModel):
        return "transcriber"
    return "writer" if isinstance(row, TextModel) else "embedder"
