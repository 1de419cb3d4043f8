"""What the pipeline asks of any speech-to-text engine. Adapters live beside this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resources.records import Engine, Price, Segment, Transcript, Word

if TYPE_CHECKING:  # the face looks at this module and decodes nothing
    from resources.media.decode import Samples

#: Called now and then with the seconds of audio that are done so far; never decreases.
Progress = Callable[[float], None]


class Transcriber(Protocol):
    """Speech to text with a time for every word."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    def transcribe(self, media: Path, *, language: str | None, progress: Progress) -> Transcript:
        """Transcribe the first audio track of ``media``, in memory that does not grow with
        its length. ``language`` is an ISO 639-1 code, or None to detect it. Silence gives an
        empty text. Raises a ``PermanentError`` for media it cannot decode and
        ``ModelUnavailable`` when its weights cannot be loaded."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What an engine made of one piece of sound; seconds from the piece's start. ``words`` and
    ``segments`` are None where the engine gives no times for them, ``language`` (ISO 639-1) where
    it does not say."""

    text: str
    language: str | None
    words: tuple[Word, ...] | None
    segments: tuple[Segment, ...] | None


class Listener(Protocol):
    """An engine that hears one piece of sound at a time. What cuts recordings into pieces, keeps
    what was heard of each and puts it on the recording's clock is the same for all of them."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    @property
    def longest_seconds(self) -> float:
        """The longest piece it takes."""
        ...

    @property
    def at_once(self) -> int:
        """Pieces it may be given at the same time."""
        ...

    def hear(self, sound: Samples, *, language: str | None) -> Heard:
        """``sound``: 16 kHz, mono. ``language``: ISO 639-1, or None to detect it. Raises
        ``LanguageUnsupported``, ``ModelUnavailable``, and what ``Wire.ask`` raises."""
        ...
