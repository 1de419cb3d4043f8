"""Whisper on this machine's processor, through faster-whisper.

A recording of any length is transcribed piece by piece (``silence.py``) in memory that does not
grow with it; one shorter than a piece is transcribed as faster-whisper itself would.

Not here: where model files come from (``packaged_models.py``), decoding (``media/decode.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from itertools import accumulate, islice, pairwise
from pathlib import Path
from threading import Lock
from typing import Final

from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as Heard
from faster_whisper.transcribe import restore_speech_timestamps

from resources.errors import ConfigurationError, ModelUnavailable
from resources.media.decode import RATE, decode
from resources.packaged_models import WHISPER_MODELS, weights_sha256, whisper_files
from resources.records import FREE, Engine, Segment, Transcript, Word
from resources.transcription.protocol import Progress
from resources.transcription.silence import MARGIN_SECONDS, SPEECH_THRESHOLD, Piece
from resources.transcription.silence import pieces as cut_at_pauses

UNKNOWN_LANGUAGE: Final = "und"  # ISO 639-2 "undetermined": nobody spoke and none was given

_BEAM_SIZE: Final = 5
_COMPUTE_TYPE: Final = "int8"
_MODEL_FILES: Final = ("model.bin", "config.json", "tokenizer.json")
_LOADING: Final = Lock()
_CONVERT: Final = (
    "Name a packaged model, or the folder of a Whisper model in CTranslate2's format with its "
    "tokenizer.json (ct2-transformers-converter --copy_files tokenizer.json makes one)."
)


class LocalWhisper:
    """A ``Transcriber``. ``model`` is the name of a packaged model or the path of a folder with
    a CTranslate2 Whisper model. Weights are loaded at the first use, once a process; several
    threads may transcribe at once. ``piece_seconds`` bounds the memory: about 1 MB a second
    beside the model."""

    def __init__(self, model: str, *, piece_seconds: int = 300) -> None:
        self._model = model
        self._piece_seconds = piece_seconds

    price = FREE

    @property
    def engine(self) -> Engine:
        """Loads nothing. Raises ``ModelUnavailable`` for an unknown name or folder."""
        return Engine(
            name="faster-whisper",
            model=f"{Path(self._model).name}@{_weights_sha256(self._model)[:12]}",
            parameters={
                "beam_size": _BEAM_SIZE,
                "compute_type": _COMPUTE_TYPE,
                "faster_whisper": version("faster-whisper"),
                "piece_seconds": self._piece_seconds,
                "silence_margin_seconds": MARGIN_SECONDS,
                "speech_threshold": SPEECH_THRESHOLD,
            },
        )

    def transcribe(self, media: Path, *, language: str | None, progress: Progress) -> Transcript:
        """See ``Transcriber``. The language is detected where speech begins and then kept.
        Raises ``ConfigurationError`` for a language the model does not know."""
        whisper = _loaded(self._model)
        self._insist_on(language, whisper.supported_languages)
        segments: list[list[Word]] = []
        done, end = 0.0, 0.0
        for piece in cut_at_pauses(decode(media), self._piece_seconds):
            end = piece.end / RATE
            if piece.kept:
                heard, language = _hear(whisper, piece, language)
                for segment in heard:
                    segments.append(_words(segment))
                    done = max(done, min(float(segment.end), end))
                    progress(done)
            progress(done := end)
        return _transcript(segments, language or UNKNOWN_LANGUAGE, end)

    def _insist_on(self, language: str | None, known: Sequence[str]) -> None:
        if language is not None and language not in known:
            raise ConfigurationError(
                f"{self._model} does not know the language {language!r}.",
                remedy=f"Give one of these, or none to detect it: {', '.join(known)}. English-only "
                "models (.en) hear nothing else; whisper-base knows all of Whisper's languages.",
            )


def _hear(whisper: WhisperModel, piece: Piece, language: str | None) -> tuple[Iterator[Heard], str]:
    """Segments as they come, with the recording's own seconds, and their language."""
    heard, info = whisper.transcribe(
        piece.sound, language=language, beam_size=_BEAM_SIZE, word_timestamps=True
    )
    spans = [{"start": start, "end": end} for start, end in piece.kept]
    return restore_speech_timestamps(heard, spans, RATE), info.language


def _words(segment: Heard) -> list[Word]:
    """Words as Whisper writes them: with the space before, where the language has one."""
    return [Word(word.word, float(word.start), float(word.end)) for word in segment.words]


def _transcript(heard: list[list[Word]], language: str, duration: float) -> Transcript:
    words = iter(_in_order([word for segment in heard for word in segment], duration))
    segments, spoken = [], []
    for segment in heard:
        said = list(islice(words, len(segment)))
        if text := "".join(word.word for word in said).strip():
            segments.append(Segment(text, said[0].start, said[-1].end))
            spoken += [replace(word, word=word.word.strip()) for word in said if word.word.strip()]
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        language=language,
        duration_seconds=duration,
        words=tuple(spoken),
        segments=tuple(segments),
    )


def _in_order(words: list[Word], duration: float) -> list[Word]:
    """The same words with times that never decrease and lie in ``[0, duration]``. Whisper now
    and then lets a word end after the next one begins."""
    starts = list(accumulate((min(max(word.start, 0.0), duration) for word in words), max))
    bounds = [*starts, duration]
    return [
        Word(word.word, start, min(max(start, word.end), following))
        for word, (start, following) in zip(words, pairwise(bounds), strict=True)
    ]


def _loaded(model: str) -> WhisperModel:
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
    """The folder of a model given by its path; nothing is ever downloaded for it."""
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
