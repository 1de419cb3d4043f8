"""Names in settings to engines. A new adapter is one line here and a file in its room.

Making an engine is cheap: weights are loaded when it first works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from resources.embedding.instant import InstantEmbedder
from resources.embedding.protocol import Embedder
from resources.errors import InvalidSettings
from resources.packaged_models import WHISPER_MODELS
from resources.settings import Settings
from resources.transcription.instant import InstantTranscriber
from resources.transcription.protocol import Transcriber
from resources.writing.extractive import ExtractiveWriter
from resources.writing.protocol import Writer

_Adapter = TypeVar("_Adapter")


@dataclass(frozen=True, slots=True)
class Engines:
    """Who works for this installation."""

    transcriber: Transcriber
    writer: Writer
    embedder: Embedder


def choose_engines(settings: Settings) -> Engines:
    """Raises ``InvalidSettings`` naming every unknown engine and the ones there are."""
    problems: list[str] = []
    transcribers = _transcribers(settings)
    transcriber = _choose("PLAYHEAD_TRANSCRIBER", settings.transcriber, transcribers, problems)
    writer = _choose("PLAYHEAD_WRITER", settings.writer, _writers(), problems)
    embedder = _choose("PLAYHEAD_EMBEDDER", settings.embedder, _embedders(settings), problems)
    if transcriber is None or writer is None or embedder is None:
        raise InvalidSettings(
            "\n".join(problems), remedy="Set these variables to one of the names."
        )
    return Engines(transcriber, writer, embedder)


def choose_embedder(settings: Settings) -> Embedder:
    """The embedder alone, for search."""
    problems: list[str] = []
    embedder = _choose("PLAYHEAD_EMBEDDER", settings.embedder, _embedders(settings), problems)
    if embedder is None:
        raise InvalidSettings("\n".join(problems), remedy="Set it to one of the names.")
    return embedder


def _transcribers(settings: Settings) -> dict[str, Callable[[], Transcriber]]:
    """Besides its names, a folder with a CTranslate2 Whisper model is a name too."""
    own = [settings.transcriber] if Path(settings.transcriber).is_dir() else []
    return {name: partial(_whisper, name) for name in [*WHISPER_MODELS, *own]} | {
        "instant": InstantTranscriber
    }


def _writers() -> dict[str, Callable[[], Writer]]:
    return {"extractive": ExtractiveWriter}


def _embedders(settings: Settings) -> dict[str, Callable[[], Embedder]]:
    return {
        "minilm": partial(_minilm, settings.home / "models"),
        "wordllama": _wordllama,
        "instant": InstantEmbedder,
    }


# Adapters are imported when they are chosen: their libraries cost half a second, which
# `playhead search` should not pay for speech, nor anyone for a model they do not use.


def _whisper(name: str) -> Transcriber:
    from resources.transcription.whisper import LocalWhisper

    return LocalWhisper(name)


def _minilm(cache: Path) -> Embedder:
    from resources.embedding.minilm import MiniLM

    return MiniLM(cache=cache)


def _wordllama() -> Embedder:
    from resources.embedding.wordllama import WordLlama

    return WordLlama()


def _choose(
    variable: str, name: str, known: dict[str, Callable[[], _Adapter]], problems: list[str]
) -> _Adapter | None:
    if make := known.get(name):
        return make()
    problems.append(f"{variable}: {name!r} is none of {', '.join(sorted(known))}.")
    return None
