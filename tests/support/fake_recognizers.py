"""Listeners that know what is said where: for whoever asks how recordings are put together.

Speech is real, since Silero decides what is a piece; the words are invented, one every 0.4 seconds,
so that each is known by its time. Not here: the real engine (``test_whisper.py``).
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


def breathless(seconds: float) -> Samples:
    """Talk without any pause; no two seconds are the same."""
    clip = media_files.speech("en_austen_0890")[RATE // 2 : 4 * RATE]
    turns = [clip * np.float32(1 - at / 100) for at in range(int(seconds * RATE / len(clip)) + 1)]
    return np.concatenate(turns)[: round(seconds * RATE)]


def words_between(start: float, end: float) -> list[Word]:
    """Those that begin and end in these seconds, named by their place among all."""
    first, last = int(np.ceil(start / WORD_SECONDS - 1e-6)), int(end / WORD_SECONDS + 1e-6)
    return [Word(f"w{at}", at * WORD_SECONDS, (at + 1) * WORD_SECONDS) for at in range(first, last)]


@dataclass
class Oracle:
    """Hears pieces of one file, and knows by their samples where in it each was. ``says`` makes of
    the words in a piece, in the recording's seconds, what is heard; by default each word with its
    time, in one segment."""

    file: Path
    concurrency: int = 1
    max_seconds: float = 1000.0
    language: str = "en"
    knows: tuple[str, ...] | None = None
    prompt: str = ""
    says: Callable[[list[Word]], Sequence[Word] | str] = lambda words: words
    asked: list[float] = field(default_factory=list)  # where each piece began, in seconds
    price: Price = FREE

    def __post_init__(self) -> None:
        self._whole = np.concatenate(list(decode(self.file))).tobytes()
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        return Engine("oracle", "oracle-1", {"prompt": self.prompt} if self.prompt else {})

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        if self.knows is not None and language not in self.knows:
            raise LanguageUnsupported(f"{language} is Greek to it.", remedy="Ask another.")
        start = self._whole.index(sound.tobytes()) / 4 / RATE
        with self._lock:
            self.asked.append(start)
        said = self.says(words_between(start, start + len(sound) / RATE))
        if isinstance(said, str):
            return Recognition(said, language or self.language, None, None)
        words = tuple(replace(one, start=one.start - start, end=one.end - start) for one in said)
        text = " ".join(word.word for word in words)
        segments = (Segment(text, words[0].start, words[-1].end),) if words else ()
        return Recognition(text, language or self.language, words, segments)


@dataclass
class Memory:
    """``PieceCache`` in a dictionary."""

    pieces: dict[tuple[str, str | None], Transcript] = field(default_factory=dict)

    def get(self, sound: str, language: str | None) -> Transcript | None:
        return self.pieces.get((sound, language))

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        self.pieces[sound, language] = piece
