"""Names in settings to engines. A new adapter is one line here and a file in its room.

Making an engine is cheap: weights are loaded when it first works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from resources.embedding.instant import InstantEmbedder
from resources.embedding.protocol import Embedder
from resources.errors import InvalidSettings, ModelUnavailable
from resources.packaged_models import WHISPER_MODELS
from resources.postgres.sets import EmbeddingSet, same_engine
from resources.settings import NO_ALIGNER, Settings
from resources.transcription.instant import InstantTranscriber
from resources.transcription.protocol import Listener, Transcriber
from resources.writing.extractive import ExtractiveWriter
from resources.writing.protocol import Writer

_Adapter = TypeVar("_Adapter")


class Embedders:
    """Embedding models by the names that settings and sets have for them, each made once."""

    def __init__(self, default: str, makers: Mapping[str, Callable[[], Embedder]]) -> None:
        self.default = default
        self._makers = makers
        self._made: dict[str, Embedder] = {}
        self._making = Lock()

    def named(self, name: str) -> Embedder:
        """Raises ``ModelUnavailable`` for a name nobody knows."""
        if name not in self._makers:
            raise ModelUnavailable(
                f"There is no embedder {name!r}, only {', '.join(sorted(self._makers))}.",
                remedy="Name one of these.",
            )
        with self._making:
            if name not in self._made:
                self._made[name] = self._makers[name]()
        return self._made[name]

    def of(self, one: EmbeddingSet) -> Embedder:
        """Who made the vectors of this set. Raises ``ModelUnavailable`` where that name stands for
        other weights or another preparation of the text today: their vectors must not meet."""
        embedder = self.named(one.name)
        if not same_engine(one, embedder.engine):
            raise ModelUnavailable(
                f"The embedder {one.name!r} is no longer the one that made set {one.id}.",
                remedy=f"Build a set with it as it is now: playhead models add {one.name}",
            )
        return embedder


@dataclass(frozen=True, slots=True)
class Engines:
    """Who works for this installation."""

    transcriber: Transcriber
    writer: Writer
    embedders: Embedders


def choose_engines(settings: Settings) -> Engines:
    """Raises ``InvalidSettings`` naming every unknown engine and the ones there are."""
    problems: list[str] = []
    transcribers = _transcribers(settings)
    transcriber = _choose("PLAYHEAD_TRANSCRIBER", settings.transcriber, transcribers, problems)
    writer = _choose("PLAYHEAD_WRITER", settings.writer, _writers(), problems)
    embedder = _choose("PLAYHEAD_EMBEDDER", settings.embedder, _embedders(settings), problems)
    _choose("PLAYHEAD_ALIGNER", settings.aligner, _aligners(settings), problems)
    if problems or transcriber is None or writer is None or embedder is None:
        raise InvalidSettings(
            "\n".join(problems), remedy="Set these variables to one of the names."
        )
    return Engines(transcriber, writer, choose_embedders(settings))


def choose_embedders(settings: Settings) -> Embedders:
    """The embedders alone, for search."""
    return Embedders(settings.embedder, _embedders(settings))


def _transcribers(settings: Settings) -> dict[str, Callable[[], Transcriber]]:
    names = _whispers(settings.transcriber)
    local = {name: partial(_piecewise, partial(_whisper, name)) for name in names}
    return {**local, "instant": InstantTranscriber}


def _aligners(settings: Settings) -> dict[str, Callable[[], Listener | None]]:
    """Who tells the times of words to which an engine gives none. As they only have to find
    words that are known, they search less widely."""
    local = {name: partial(_whisper, name, beam_size=1) for name in _whispers(settings.aligner)}
    return {**local, NO_ALIGNER: lambda: None}


def _whispers(chosen: str) -> list[str]:
    """Besides its names, a folder with a CTranslate2 Whisper model is a name too."""
    return [*WHISPER_MODELS, *([chosen] if Path(chosen).is_dir() else [])]


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


def _piecewise(
    listener: Callable[[], Listener], aligner: Callable[[], Listener | None] = lambda: None
) -> Transcriber:
    """Recordings of any length by an engine that hears pieces; ``aligner`` where it gives words
    no times."""
    from resources.transcription.piecewise import Piecewise

    return Piecewise(listener(), aligner=aligner())


def _whisper(name: str, **options: int) -> Listener:
    from resources.transcription.whisper import LocalWhisper

    return LocalWhisper(name, **options)


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
