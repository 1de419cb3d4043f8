"""Fake speech recognizers that know which words are spoken when, to test piecewise transcription.

The speech is real, since Silero decides where pieces begin and end; the words are invented, one
every 0.4 seconds, so that each word is identified by its time. ``test_whisper.py`` tests the real
engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from playhead.core.audio import Samples
from playhead.core.errors import LanguageUnsupported
from playhead.core.protocols.transcriber import Recognition
from playhead.core.records import FREE, Engine, Price, Segment, Transcript, Word
from playhead.media.decode import RATE, decode
from tests.support import media_files

WORD_SECONDS = 0.4


def speech_without_pauses(seconds: float) -> Samples:
    """Return speech without any pause; no two seconds are the same."""
    clip = media_files.speech("en_austen_0890")[RATE // 2 : 4 * RATE]
    blocks = [clip * np.float32(1 - at / 100) for at in range(int(seconds * RATE / len(clip)) + 1)]
    return np.concatenate(blocks)[: round(seconds * RATE)]


def words_between(start: float, end: float) -> list[Word]:
    """Return the words inside these seconds, numbered by their position in the recording."""
    first, last = int(np.ceil(start / WORD_SECONDS - 1e-6)), int(end / WORD_SECONDS + 1e-6)
    return [Word(f"w{at}", at * WORD_SECONDS, (at + 1) * WORD_SECONDS) for at in range(first, last)]


@dataclass
class FakeRecognizer:
    """A speech recognizer that finds by the samples where in ``file`` a piece was.

    ``transform`` turns the words in a piece, in seconds of the recording, into the words that are
    recognized, or into a text; by default each word keeps its time, in one segment.
    """

    file: Path
    concurrency: int = 1
    max_seconds: float = 1000.0
    language: str = "en"
    languages: tuple[str, ...] | None = None
    prompt: str = ""
    transform: Callable[[list[Word]], Sequence[Word] | str] = lambda words: words
    piece_starts: list[float] = field(default_factory=list)  # seconds
    price: Price = FREE

    def __post_init__(self) -> None:
        self._whole = np.concatenate(list(decode(self.file))).tobytes()
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        return Engine("oracle", "oracle-1", {"prompt": self.prompt} if self.prompt else {})

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        if self.languages is not None and language not in self.languages:
            raise LanguageUnsupported(f"{language} is Greek to it.", remedy="Ask another.")
        start = self._whole.index(sound.tobytes()) / 4 / RATE
        with self._lock:
            self.piece_starts.append(start)
        recognized = self.transform(words_between(start, start + len(sound) / RATE))
        if isinstance(recognized, str):
            return Recognition(recognized, language or self.language, None, None)
        words = tuple(
            replace(word, start=word.start - start, end=word.end - start) for word in recognized
        )
        text = " ".join(word.word for word in words)
        segments = (Segment(text, words[0].start, words[-1].end),) if words else ()
        return Recognition(text, language or self.language, words, segments)


@dataclass
class DictPieceCache:
    """A ``PieceCache`` in a dictionary."""

    pieces: dict[tuple[str, str | None], Transcript] = field(default_factory=dict)

    def get(self, sound: str, language: str | None) -> Transcript | None:
        return self.pieces.get((sound, language))

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        self.pieces[sound, language] = piece
