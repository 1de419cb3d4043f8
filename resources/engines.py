"""Names in settings to engines. A new adapter is one line here and a file in its room; a model
behind a network is named ``<provider>:<model>`` and needs none.

Making an engine is cheap: weights are loaded when it first works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

from resources.embedding.instant import InstantEmbedder
from resources.embedding.protocol import Embedder
from resources.errors import InvalidSettings, ModelUnavailable
from resources.packaged_models import WHISPER_MODELS
from resources.postgres.sets import EmbeddingSet, same_engine
from resources.providers.names import RemoteModel, missing, remote_model
from resources.remote_engines import RemoteEngines, Wires, unconnected
from resources.settings import Settings
from resources.transcription.instant import InstantTranscriber
from resources.transcription.protocol import Transcriber
from resources.writing.extractive import ExtractiveWriter
from resources.writing.protocol import Writer

_Adapter = TypeVar("_Adapter")


class Embedders:
    """Embedding models by the names that settings and sets have for them, each made once."""

    def __init__(
        self,
        default: str,
        makers: Mapping[str, Callable[[], Embedder]],
        remote: Callable[[RemoteModel], Embedder] | None = None,
    ) -> None:
        """``remote`` makes those behind a network."""
        self.default = default
        self._makers = makers
        self._remote = remote
        self._made: dict[str, Embedder] = {}
        self._making = Lock()

    def named(self, name: str) -> Embedder:
        """Raises ``ModelUnavailable`` for a name nobody knows."""
        with self._making:
            if name not in self._made:
                self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Embedder:
        if name in self._makers:
            return self._makers[name]()
        if self._remote and (model := remote_model(name)):
            return self._remote(model)
        raise ModelUnavailable(
            f"There is no embedder {name!r}, only {', '.join(sorted(self._makers))}.",
            remedy="Name one of these, or one of a provider: openai:text-embedding-3-small",
        )

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


def choose_engines(settings: Settings, wires: Wires = unconnected) -> Engines:
    """Raises ``InvalidSettings`` naming every unknown engine and the ones there are."""
    remote = RemoteEngines(settings, wires)
    problems: list[str] = []
    transcriber = _choose("TRANSCRIBER", settings, _transcribers(settings), None, problems)
    writer = _choose("WRITER", settings, _writers(), remote.writer, problems)
    embedder = _choose("EMBEDDER", settings, _embedders(settings), remote.embedder, problems)
    if transcriber is None or writer is None or embedder is None:
        raise InvalidSettings(
            "\n".join(problems), remedy="Set these variables to one of the names."
        )
    return Engines(transcriber, writer, choose_embedders(settings, wires))


def choose_embedders(settings: Settings, wires: Wires = unconnected) -> Embedders:
    """The embedders alone, for search."""
    remote = RemoteEngines(settings, wires)
    return Embedders(settings.embedder, _embedders(settings), remote.embedder)


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
    role: Literal["TRANSCRIBER", "WRITER", "EMBEDDER"],
    settings: Settings,
    known: Mapping[str, Callable[[], _Adapter]],
    remote: Callable[[RemoteModel], _Adapter] | None,
    problems: list[str],
) -> _Adapter | None:
    name: str = getattr(settings, role.lower())
    if make := known.get(name):
        return make()
    model = remote_model(name) if remote else None
    if remote is None or model is None:
        problem = f"{name!r} is none of {', '.join(sorted(known))}."
    else:
        lacking = missing(settings, model.provider)
        if lacking is None:
            return remote(model)
        problem = f"{name!r}: {lacking}"
    problems.append(f"PLAYHEAD_{role}: {problem}")
    return None
