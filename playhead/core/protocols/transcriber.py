"""What the pipeline asks of any speech-to-text engine. Adapters live beside this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from playhead.core.records import Engine, Price, Segment, SpeakerSource, Transcript, Word

if TYPE_CHECKING:  # the face looks at this module and decodes nothing
    from playhead.core.audio import Samples

UNKNOWN_LANGUAGE: Final = "und"  # ISO 639-2 "undetermined": nobody spoke and none was given

#: Called now and then with the seconds of audio that are done so far; never decreases.
Progress = Callable[[float], None]


class PieceCache(Protocol):
    """What was made of pieces of one recording by one engine, kept while its transcript is not
    whole: a worker that dies costs the pieces it was at. Several threads use it at once."""

    def get(self, sound: str, language: str | None) -> Transcript | None:
        """Of the piece with this sha-256, heard as this language (None: as detected)."""
        ...

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        """In seconds from the piece's start."""
        ...


class NoPieceCache:
    """``Finished`` for whoever makes a transcript at one go."""

    def get(self, sound: str, language: str | None) -> Transcript | None:
        return None

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        pass


NO_CACHE: Final = NoPieceCache()


class Transcriber(Protocol):
    """Speech to text with a time for every word."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    def transcribe(
        self,
        media: Path,
        *,
        language: str | None,
        progress: Progress,
        speakers: SpeakerSource = "none",
        finished: PieceCache = NO_CACHE,
    ) -> Transcript:
        """Transcribe the first audio track of ``media``, or each voice that ``speakers`` tells
        apart, in memory that does not grow with its length. ``language`` is an ISO 639-1 code, or
        None to detect it. Silence gives an empty text. Raises a ``PermanentError`` for media it
        cannot decode, ``ModelUnavailable`` when its weights cannot be loaded, and what
        ``Listener.hear`` raises; what was ``finished`` by then is not heard again."""
        ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """What an engine made of one piece of sound; seconds from the piece's start. ``words`` and
    ``segments`` are None where the engine gives no times for them, ``language`` (ISO 639-1) where
    it does not say."""

    text: str
    language: str | None
    words: tuple[Word, ...] | None
    segments: tuple[Segment, ...] | None


class SpeechRecognizer(Protocol):
    """An engine that hears one piece of sound at a time. What cuts recordings into pieces, keeps
    what was heard of each and puts it on the recording's clock is the same for all of them."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    @property
    def max_seconds(self) -> float:
        """The longest piece it takes."""
        ...

    @property
    def concurrency(self) -> int:
        """Pieces it may be given at the same time."""
        ...

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        """``sound``: 16 kHz, mono. ``language``: ISO 639-1, or None to detect it. Raises
        ``LanguageUnsupported``, ``ModelUnavailable``, and what ``Wire.ask`` raises."""
        ...
