"""Names in settings to engines. A new adapter is one line here and a file in its room; a model
behind a network is named ``<provider>:<model>`` and needs none.

Making an engine is cheap: weights are loaded when it first works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from playhead.core.errors import InvalidSettings, ModelUnavailable
from playhead.core.packaged_models import WHISPER_MODELS
from playhead.core.protocols.answerer import Answerer
from playhead.core.protocols.embedder import Embedder
from playhead.core.protocols.transcriber import SpeechRecognizer, Transcriber
from playhead.core.protocols.writer import Writer
from playhead.core.records import EngineSelection
from playhead.core.settings import NO_ALIGNER, Settings
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.remote import ClientFactory, RemoteEngines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.search.embedding_sets import EmbeddingSet, same_engine
from playhead.providers.factory import open_client
from playhead.providers.model_names import RemoteModel, parse_remote_model

_Adapter = TypeVar("_Adapter")


class EngineRegistry(Generic[_Adapter]):
    """Engines for one purpose by the names that people have for them, each made once.
    ``purpose``: what to call such an engine; ``remote`` makes those behind a network."""

    def __init__(
        self,
        purpose: str,
        makers: Mapping[str, Callable[[], _Adapter]],
        remote: Callable[[RemoteModel], _Adapter] | None = None,
    ) -> None:
        self._purpose = purpose
        self._makers = makers
        self._remote = remote
        self._made: dict[str, _Adapter] = {}
        self._making = Lock()

    def named(self, name: str) -> _Adapter:
        """Raises ``ModelUnavailable`` for a name nobody knows, or a provider that settings do not
        lead to."""
        with self._making:
            if name not in self._made:
                self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> _Adapter:
        if name in self._makers:
            return self._makers[name]()
        if self._remote and (model := parse_remote_model(name)):
            return self._remote(model)
        raise ModelUnavailable(
            f"There is no {self._purpose} {name!r}, only {', '.join(sorted(self._makers))}.",
            remedy="Name one of these, or a provider's model: openai:<model>. `playhead engines` "
            "lists all.",
        )


class EmbedderRegistry(EngineRegistry[Embedder]):
    """Embedding models by the names that settings and sets have for them."""

    def __init__(
        self,
        default: str,
        makers: Mapping[str, Callable[[], Embedder]],
        remote: Callable[[RemoteModel], Embedder] | None = None,
    ) -> None:
        super().__init__("embedder", makers, remote)
        self.default = default

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


def _no_override(_choice: EngineSelection) -> None:
    return None


@dataclass(frozen=True, slots=True)
class EngineOverrides:
    """Engines that some recordings have instead of the default ones; None for all the rest. Both
    raise ``ModelUnavailable`` for a name nobody knows."""

    transcriber: Callable[[EngineSelection], Transcriber | None] = _no_override
    writer: Callable[[EngineSelection], Writer | None] = _no_override


@dataclass(frozen=True, slots=True)
class Engines:
    """Who works for this installation: for most recordings, and for those for which others were
    chosen. The embedder is one for all, since what is searched together has vectors of one
    model."""

    transcriber: Transcriber
    writer: Writer
    embedders: EmbedderRegistry
    others: EngineOverrides = EngineOverrides()

    def transcriber_for(self, choice: EngineSelection) -> Transcriber:
        """Raises ``ModelUnavailable``."""
        return self.others.transcriber(choice) or self.transcriber

    def writer_for(self, choice: EngineSelection) -> Writer:
        """Raises ``ModelUnavailable``."""
        return self.others.writer(choice) or self.writer


def build_engines(settings: Settings, wires: ClientFactory = open_client) -> Engines:
    """Raises ``InvalidSettings`` naming every unknown engine and the ones there are."""
    remote = RemoteEngines(settings, wires)
    aligners = EngineRegistry[SpeechRecognizer | None]("aligner", _aligners(settings))

    def listening(model: RemoteModel) -> Transcriber:
        return _piecewise(
            lambda: remote.recognizer(model), lambda: aligners.named(settings.aligner)
        )

    transcribers = EngineRegistry("transcriber", _transcribers(settings), listening)
    writers = EngineRegistry("writer", _writers(), remote.writer)
    embedders = build_embedders(settings, wires)
    wanted: list[tuple[str, EngineRegistry[Any], str | None]] = [
        ("PLAYHEAD_ALIGNER", aligners, settings.aligner),
        ("PLAYHEAD_TRANSCRIBER", transcribers, settings.transcriber),
        ("PLAYHEAD_WRITER", writers, settings.writer),
        ("PLAYHEAD_EMBEDDER", embedders, settings.embedder),
        ("PLAYHEAD_ANSWERER", _answerers(settings, wires), settings.answerer),
    ]
    for place, names in settings.engines.items():
        wanted += [
            (f"PLAYHEAD_ENGINES.{place}", transcribers, names.transcriber),
            (f"PLAYHEAD_ENGINES.{place}", writers, names.writer),
        ]
    _require_known(wanted)

    def transcriber_of(one: EngineSelection) -> Transcriber | None:
        name = one.transcriber or settings.transcriber_for(one.org_id, one.kind)
        return None if name == settings.transcriber else transcribers.named(name)

    def writer_of(one: EngineSelection) -> Writer | None:
        name = one.writer or settings.writer_for(one.org_id, one.kind)
        return None if name == settings.writer else writers.named(name)

    return Engines(
        transcribers.named(settings.transcriber),
        writers.named(settings.writer),
        embedders,
        EngineOverrides(transcriber_of, writer_of),
    )


def _require_known(wanted: Sequence[tuple[str, EngineRegistry[Any], str | None]]) -> None:
    """Raises ``InvalidSettings`` naming every variable with a name nobody knows."""
    problems = []
    for variable, engines, name in wanted:
        try:
            if name:
                engines.named(name)
        except ModelUnavailable as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise InvalidSettings(
            "\n".join(problems), remedy="Set these variables to one of the names."
        )


def build_embedders(settings: Settings, wires: ClientFactory = open_client) -> EmbedderRegistry:
    """The embedders alone, for search."""
    remote = RemoteEngines(settings, wires)
    return EmbedderRegistry(settings.embedder, _embedders(settings), remote.embedder)


def build_answerer(settings: Settings, wires: ClientFactory = open_client) -> Answerer:
    """Who answers questions. Raises ``InvalidSettings``."""
    answerers = _answerers(settings, wires)
    _require_known([("PLAYHEAD_ANSWERER", answerers, settings.answerer)])
    return answerers.named(settings.answerer)


def _transcribers(settings: Settings) -> dict[str, Callable[[], Transcriber]]:
    names = _whispers(settings.transcriber)
    local = {name: partial(_piecewise, partial(_whisper, name)) for name in names}
    return {**local, "instant": StubTranscriber}


def _aligners(settings: Settings) -> dict[str, Callable[[], SpeechRecognizer | None]]:
    """Who tells the times of words to which an engine gives none. As they only have to find
    words that are known, they search less widely."""
    local = {name: partial(_whisper, name, beam_size=1) for name in _whispers(settings.aligner)}
    return {**local, NO_ALIGNER: lambda: None}


def _whispers(chosen: str) -> list[str]:
    """Besides its names, a folder with a CTranslate2 Whisper model is a name too."""
    return [*WHISPER_MODELS, *([chosen] if Path(chosen).is_dir() else [])]


def _writers() -> dict[str, Callable[[], Writer]]:
    return {"extractive": ExtractiveWriter}


def _answerers(settings: Settings, wires: ClientFactory) -> EngineRegistry[Answerer]:
    makers: dict[str, Callable[[], Answerer]] = {"extractive": ExtractiveAnswerer}
    return EngineRegistry("answerer", makers, RemoteEngines(settings, wires).answerer)


def _embedders(settings: Settings) -> dict[str, Callable[[], Embedder]]:
    return {
        "minilm": partial(_minilm, settings.home / "models"),
        "wordllama": _wordllama,
        "instant": StubEmbedder,
    }


# Adapters are imported when they are chosen: their libraries cost half a second, which
# `playhead search` should not pay for speech, nor anyone for a model they do not use.


def _piecewise(
    listener: Callable[[], SpeechRecognizer],
    aligner: Callable[[], SpeechRecognizer | None] = lambda: None,
) -> Transcriber:
    """Recordings of any length by an engine that hears pieces; ``aligner`` where it gives words
    no times."""
    from playhead.engines.transcription.piecewise import PiecewiseTranscriber

    return PiecewiseTranscriber(listener(), aligner=aligner())


def _whisper(name: str, **options: int) -> SpeechRecognizer:
    from playhead.engines.transcription.whisper import LocalWhisper

    return LocalWhisper(name, **options)


def _minilm(cache: Path) -> Embedder:
    from playhead.engines.embedding.minilm import MiniLM

    return MiniLM(cache=cache)


def _wordllama() -> Embedder:
    from playhead.engines.embedding.wordllama import WordLlama

    return WordLlama()
