"""Whisper on this machine's CPU, through faster-whisper.

A piece of audio is transcribed as faster-whisper itself would; only if it contains several
languages, each part is transcribed separately. Model files come from
``playhead/core/packaged_models.py``; ``piecewise.py`` splits recordings into pieces.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Final

from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as WhisperSegment

from playhead.core.audio import Samples
from playhead.core.errors import LanguageUnsupported, ModelUnavailable
from playhead.core.packaged_models import WHISPER_MODELS, weights_sha256, whisper_files
from playhead.core.protocols.transcriber import Recognition
from playhead.core.records import FREE, Engine, Segment, Word
from playhead.engines.transcription.pause_splitting import split_at_pauses
from playhead.media.decode import RATE

_BEAM_SIZE: Final = 5
_COMPUTE_TYPE: Final = "int8"
_MAX_SECONDS: Final = 120.0  # a worker that stops waits for one piece: half a minute
_WINDOW_SECONDS: Final = 30.0  # Whisper detects the language from this much
_SENTENCE_SECONDS: Final = 8.0
_MIN_CONFIDENCE: Final = 0.8  # of a language; with two languages it is 0.5 to 0.7
_MODEL_FILES: Final = ("model.bin", "config.json", "tokenizer.json")
_LOADING: Final = Lock()
_CONVERT: Final = (
    "Name a packaged model, or the folder of a Whisper model in CTranslate2's format with its "
    "tokenizer.json (ct2-transformers-converter --copy_files tokenizer.json makes one)."
)


@dataclass(frozen=True, slots=True)
class _LanguagePart:
    """Samples from ``start`` on with their language; None if it is not known yet."""

    start: int
    sound: Samples
    language: str | None


class LocalWhisper:
    """A ``SpeechRecognizer`` whose words have times.

    ``model`` is the name of a packaged model or the path of a folder with a CTranslate2 Whisper
    model. Weights are loaded at the first use, once per process. It is thread-safe; calls run one
    after the other. It needs about 1 MB per second of audio in addition to the model.
    """

    price = FREE
    max_seconds = _MAX_SECONDS
    concurrency = 1  # it uses all processors by itself

    def __init__(self, model: str, *, beam_size: int = _BEAM_SIZE) -> None:
        self._model = model
        self._beam_size = beam_size

    @property
    def engine(self) -> Engine:
        """Return the engine's identity without loading the model.

        Raises ``ModelUnavailable`` for an unknown name or folder.
        """
        return Engine(
            name="faster-whisper",
            model=f"{Path(self._model).name}@{_weights_sha256(self._model)[:12]}",
            parameters={
                "beam_size": self._beam_size,
                "compute_type": _COMPUTE_TYPE,
                "faster_whisper": version("faster-whisper"),
            },
        )

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        """Recognize speech as in ``SpeechRecognizer``.

        Raises ``LanguageUnsupported`` and ``ModelUnavailable``.
        """
        whisper = _cached_model(self._model)
        self._require_language(language, whisper.supported_languages)
        parts = [_LanguagePart(0, sound, language)]
        if language is None and whisper.model.is_multilingual:
            parts = _by_language(whisper, sound)
        return _join([(part, *self._transcribe(whisper, part)) for part in parts])

    def _transcribe(
        self, whisper: WhisperModel, part: _LanguagePart
    ) -> tuple[list[WhisperSegment], str]:
        segments, info = whisper.transcribe(
            part.sound, language=part.language, beam_size=self._beam_size, word_timestamps=True
        )
        return list(segments), info.language

    def _require_language(self, language: str | None, known: Sequence[str]) -> None:
        if language is not None and language not in known:
            raise LanguageUnsupported(
                f"{self._model} does not support the language {language!r}.",
                remedy="Choose another engine (--engine; whisper-base supports all of Whisper's "
                "languages, models that end in .en only English), or let the language be "
                f"detected. This one supports {', '.join(known)}.",
            )


def _by_language(whisper: WhisperModel, sound: Samples) -> list[_LanguagePart]:
    """Split the sound at pauses into parts of one language each.

    If Whisper is not sure that a window is in the usual language, shorter windows are tested, down
    to a sentence.
    """
    if len(sound) <= _WINDOW_SECONDS * RATE:
        return [_LanguagePart(0, sound, None)]
    parts, start = [], 0
    for code, row in groupby(_language_runs(whisper, sound), key=lambda run: run[1]):
        *_, (end, _) = row
        parts.append(_LanguagePart(start, sound[start:end], code))
        start = end
    return parts


def _language_runs(whisper: WhisperModel, sound: Samples) -> Iterator[tuple[int, str]]:
    """Yield the end of each time range (a sample) and its language.

    If Whisper cannot tell, it is the language of the previous range.
    """
    windows = list(_guesses(whisper, sound, 0, _WINDOW_SECONDS))
    weights = dict.fromkeys((code for _, code, _ in windows), 0.0)
    for _, code, probability in windows:
        weights[code] += probability
    main_language = last = max(weights, key=lambda code: weights[code])
    start = 0
    for end, code, probability in windows:
        if code == main_language and probability >= _MIN_CONFIDENCE:
            last = main_language
            yield end, main_language
        else:
            for at, finer_code, chance in _guesses(
                whisper, sound[start:end], start, _SENTENCE_SECONDS
            ):
                last = finer_code if chance >= _MIN_CONFIDENCE else last
                yield at, last
        start = end


def _guesses(
    whisper: WhisperModel, sound: Samples, offset: int, max_seconds: float
) -> Iterator[tuple[int, str, float]]:
    """Yield windows split at pauses: the end (a sample), the language and its probability."""
    start = 0
    for piece in split_at_pauses([sound], max_seconds):
        code, probability, _ = whisper.detect_language(sound[start : piece.end])
        yield offset + piece.end, code, float(probability)
        start = piece.end


def _join(parts: Sequence[tuple[_LanguagePart, Sequence[WhisperSegment], str]]) -> Recognition:
    """Return one result for all parts, in the language with the most text."""
    words: list[Word] = []
    segments: list[Segment] = []
    characters_by_language: Counter[str] = Counter()
    for part, whisper_segments, language in parts:
        for segment in whisper_segments:
            segment_words = list(_words(segment, part.start / RATE))
            if text := "".join(word.word for word in segment_words).strip():
                times = segment_words[0].start, segment_words[-1].end
                segments.append(Segment(text, *times, language=language))
                words += [
                    Word(bare, word.start, word.end)
                    for word in segment_words
                    if (bare := word.word.strip())
                ]
                characters_by_language[language] += len(text)
    [(main_language, _)] = characters_by_language.most_common(1) or [(parts[0][2], 0)]
    text = " ".join(segment.text for segment in segments)
    return Recognition(text, main_language if text else None, tuple(words), tuple(segments))


def _words(segment: WhisperSegment, offset: float) -> Iterator[Word]:
    """Yield words as Whisper writes them: with the space before, if the language has one."""
    for word in segment.words:
        yield Word(word.word, offset + float(word.start), offset + float(word.end))


def _cached_model(model: str) -> WhisperModel:
    with _LOADING:
        return _load(model)


@cache
def _load(model: str) -> WhisperModel:
    if model in WHISPER_MODELS:
        files = whisper_files(model)
        return WhisperModel(model, device="cpu", compute_type=_COMPUTE_TYPE, files=files)
    folder = _folder(model)
    try:
        return WhisperModel(str(folder), device="cpu", compute_type=_COMPUTE_TYPE)
    except (RuntimeError, ValueError) as error:
        raise ModelUnavailable(
            f"The model in {folder} cannot be loaded: {error}", remedy=_CONVERT
        ) from error


def _weights_sha256(model: str) -> str:
    if model in WHISPER_MODELS:
        return weights_sha256(model)
    weights = _folder(model) / "model.bin"
    return _file_sha256(weights, weights.stat().st_mtime_ns)


def _folder(model: str) -> Path:
    """Return the folder of a model given by its path; nothing is ever downloaded for it.

    Raises ``ModelUnavailable`` if the folder or one of its files is missing.
    """
    folder = Path(model)
    missing = [name for name in _MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelUnavailable(
            f"There is no Whisper model {model!r}: not one of {', '.join(WHISPER_MODELS)}, and "
            f"no folder with {', '.join(missing)}.",
            remedy=_CONVERT,
        )
    return folder


@cache
def _file_sha256(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
