"""Build engines from their names in settings.

A new local adapter needs one line here and one module in its package. A remote model is named
``<provider>:<model>`` and needs neither.

Building an engine is cheap: weights are loaded at its first use.
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
from playhead.core.settings import NO_ALIGNER, Settings, current_engine_name
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.remote import ClientFactory, RemoteEngines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.search.embedding_sets import EmbeddingSet, same_engine
from playhead.providers.clients import open_client
from playhead.providers.model_names import RemoteModel, parse_remote_model

_Adapter = TypeVar("_Adapter")


class EngineRegistry(Generic[_Adapter]):
    """Engines for one purpose by name, each built once.

    ``purpose`` is the noun for such an engine in error messages. ``remote`` builds engines of a
    provider.
    """

    def __init__(
        self,
        purpose: str,
        factories: Mapping[str, Callable[[], _Adapter]],
        remote: Callable[[RemoteModel], _Adapter] | None = None,
    ) -> None:
        self._purpose = purpose
        self._factories = factories
        self._remote = remote
        self._engines: dict[str, _Adapter] = {}
        self._lock = Lock()

    def named(self, name: str) -> _Adapter:
        """Return the engine with this name or earlier name, building it at the first call.

        Raises ``ModelUnavailable`` for an unknown name, or a provider that is missing in settings.
        """
        name = name if name in self._factories else current_engine_name(name)
        with self._lock:
            if name not in self._engines:
                self._engines[name] = self._make(name)
        return self._engines[name]

    def _make(self, name: str) -> _Adapter:
        if name in self._factories:
            return self._factories[name]()
        if self._remote and (model := parse_remote_model(name)):
            return self._remote(model)
        raise ModelUnavailable(
            f"There is no {self._purpose} {name!r}, only {', '.join(sorted(self._factories))}.",
            remedy="Use one of these, or a provider's model: openai:<model>. `playhead engines` "
            "lists all.",
        )


class EmbedderRegistry(EngineRegistry[Embedder]):
    """Embedding models by their names in settings and embedding sets."""

    def __init__(
        self,
        default: str,
        factories: Mapping[str, Callable[[], Embedder]],
        remote: Callable[[RemoteModel], Embedder] | None = None,
    ) -> None:
        super().__init__("embedder", factories, remote)
        self.default = default

    def of(self, embedding_set: EmbeddingSet) -> Embedder:
        """Return the embedder of the vectors in this embedding set.

        Raises ``ModelUnavailable`` if its name now stands for other weights or another
        preprocessing: their vectors must not be compared.
        """
        embedder = self.named(embedding_set.name)
        if not same_engine(embedding_set, embedder.engine):
            raise ModelUnavailable(
                f"The embedder {embedding_set.name!r} has changed since set {embedding_set.id} was "
                "built.",
                remedy=f"Build a new set with it: playhead models add {embedding_set.name}",
            )
        return embedder


def _no_override(_selection: EngineSelection) -> None:
    return None


@dataclass(frozen=True, slots=True)
class EngineOverrides:
    """Functions that return the engine of recordings without the default one, or None.

    Both raise ``ModelUnavailable`` for an unknown name.
    """

    transcriber: Callable[[EngineSelection], Transcriber | None] = _no_override
    writer: Callable[[EngineSelection], Writer | None] = _no_override


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of this installation: the default ones, and those of some recordings.

    There is one embedder for all recordings, since vectors that are searched together must come
    from the same model.
    """

    transcriber: Transcriber
    writer: Writer
    embedders: EmbedderRegistry
    overrides: EngineOverrides = EngineOverrides()

    def transcriber_for(self, selection: EngineSelection) -> Transcriber:
        """Return the transcriber of a recording.

        Raises ``ModelUnavailable`` for an unknown name.
        """
        return self.overrides.transcriber(selection) or self.transcriber

    def writer_for(self, selection: EngineSelection) -> Writer:
        """Return the writer of a recording.

        Raises ``ModelUnavailable`` for an unknown name.
        """
        return self.overrides.writer(selection) or self.writer


def build_engines(settings: Settings, client_factory: ClientFactory = open_client) -> Engines:
    """Build the engines that the settings name.

    Raises ``InvalidSettings`` with all unknown names and the available ones.
    """
    remote = RemoteEngines(settings, client_factory)
    aligners = EngineRegistry[SpeechRecognizer | None]("aligner", _aligners(settings))

    def build_transcriber(model: RemoteModel) -> Transcriber:
        return _piecewise(
            lambda: remote.recognizer(model), lambda: aligners.named(settings.aligner)
        )

    transcribers = EngineRegistry("transcriber", _transcribers(settings), build_transcriber)
    writers = EngineRegistry("writer", _writers(), remote.writer)
    embedders = build_embedders(settings, client_factory)
    named_engines: list[tuple[str, EngineRegistry[Any], str | None]] = [
        ("PLAYHEAD_ALIGNER", aligners, settings.aligner),
        ("PLAYHEAD_TRANSCRIBER", transcribers, settings.transcriber),
        ("PLAYHEAD_WRITER", writers, settings.writer),
        ("PLAYHEAD_EMBEDDER", embedders, settings.embedder),
        ("PLAYHEAD_ANSWERER", _answerers(settings, client_factory), settings.answerer),
    ]
    for setting, names in settings.engines.items():
        named_engines += [
            (f"PLAYHEAD_ENGINES.{setting}", transcribers, names.transcriber),
            (f"PLAYHEAD_ENGINES.{setting}", writers, names.writer),
        ]
    _require_known(named_engines)

    def transcriber_of(engine_selection: EngineSelection) -> Transcriber | None:
        name = engine_selection.transcriber or settings.transcriber_for(
            engine_selection.org_id, engine_selection.kind
        )
        return None if name == settings.transcriber else transcribers.named(name)

    def writer_of(engine_selection: EngineSelection) -> Writer | None:
        name = engine_selection.writer or settings.writer_for(
            engine_selection.org_id, engine_selection.kind
        )
        return None if name == settings.writer else writers.named(name)

    return Engines(
        transcribers.named(settings.transcriber),
        writers.named(settings.writer),
        embedders,
        EngineOverrides(transcriber_of, writer_of),
    )


def _require_known(named_engines: Sequence[tuple[str, EngineRegistry[Any], str | None]]) -> None:
    """Raise ``InvalidSettings`` with every variable whose engine is unknown."""
    problems = []
    for variable, engines, name in named_engines:
        try:
            if name:
                engines.named(name)
        except ModelUnavailable as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise InvalidSettings(
            "\n".join(problems), remedy="Set these variables to one of the names."
        )


def build_embedders(
    settings: Settings, client_factory: ClientFactory = open_client
) -> EmbedderRegistry:
    """Build the embedders alone, for search."""
    remote = RemoteEngines(settings, client_factory)
    return EmbedderRegistry(settings.embedder, _embedders(settings), remote.embedder)


def build_answerer(settings: Settings, client_factory: ClientFactory = open_client) -> Answerer:
    """Build the answerer that the settings name.

    Raises ``InvalidSettings`` if it is unknown.
    """
    answerers = _answerers(settings, client_factory)
    _require_known([("PLAYHEAD_ANSWERER", answerers, settings.answerer)])
    return answerers.named(settings.answerer)


def _transcribers(settings: Settings) -> dict[str, Callable[[], Transcriber]]:
    names = _whispers(settings.transcriber)
    local = {name: partial(_piecewise, partial(_whisper, name)) for name in names}
    return {**local, "stub": StubTranscriber}


def _aligners(settings: Settings) -> dict[str, Callable[[], SpeechRecognizer | None]]:
    """Return the factories of engines that time the words of engines without word times.

    They use beam size 1, since they only have to locate known words.
    """
    local = {name: partial(_whisper, name, beam_size=1) for name in _whispers(settings.aligner)}
    return {**local, NO_ALIGNER: lambda: None}


def _whispers(chosen: str) -> list[str]:
    """Return the names of local Whisper models.

    The path of a folder with a CTranslate2 Whisper model is a name, too.
    """
    return [*WHISPER_MODELS, *([chosen] if Path(chosen).is_dir() else [])]


def _writers() -> dict[str, Callable[[], Writer]]:
    return {"extractive": ExtractiveWriter}


def _answerers(settings: Settings, client_factory: ClientFactory) -> EngineRegistry[Answerer]:
    factories: dict[str, Callable[[], Answerer]] = {"extractive": ExtractiveAnswerer}
    return EngineRegistry("answerer", factories, RemoteEngines(settings, client_factory).answerer)


def _embedders(settings: Settings) -> dict[str, Callable[[], Embedder]]:
    return {
        "minilm": partial(_minilm, settings.home / "models"),
        "wordllama": _wordllama,
        "stub": StubEmbedder,
    }


# Adapters are imported when they are built: their libraries take half a second to import, which
# `playhead search` should not spend on speech, nor any command on an unused model.


def _piecewise(
    recognizer: Callable[[], SpeechRecognizer],
    aligner: Callable[[], SpeechRecognizer | None] = lambda: None,
) -> Transcriber:
    """Build a transcriber for recordings of any length from an engine for single pieces.

    ``aligner`` builds the engine that times words if the first engine does not.
    """
    from playhead.engines.transcription.piecewise import PiecewiseTranscriber

    return PiecewiseTranscriber(recognizer(), aligner=aligner())


def _whisper(name: str, **options: int) -> SpeechRecognizer:
    from playhead.engines.transcription.whisper import LocalWhisper

    return LocalWhisper(name, **options)


def _minilm(cache: Path) -> Embedder:
    from playhead.engines.embedding.minilm import MiniLM

    return MiniLM(cache=cache)


def _wordllama() -> Embedder:
    from playhead.engines.embedding.wordllama import WordLlama

    return WordLlama()
