"""The protocols of speech-to-text engines, as used by the pipeline.

Adapters are in ``playhead/engines/transcription``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from playhead.core.records import Engine, Price, Segment, SpeakerSource, Transcript, Word

if TYPE_CHECKING:  # modules that decode nothing need no numpy
    from playhead.core.audio import Samples

UNKNOWN_LANGUAGE: Final = "und"  # ISO 639-2 "undetermined": no speech, and no language was given

#: Called occasionally with the seconds of audio transcribed so far, which never decrease.
Progress = Callable[[float], None]


class PieceCache(Protocol):
    """Cache of the transcribed pieces of one recording by one engine.

    It is needed until the transcript is complete: a worker that dies loses only its unfinished
    pieces. Implementations must be thread-safe.
    """

    def get(self, sound: str, language: str | None) -> Transcript | None:
        """Return the transcript of the piece with this sha-256, or None if it is not cached.

        ``language`` is the language that was given for the transcription (None: detected).
        """
        ...

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        """Store the transcript of a piece, with times in seconds from the piece's start."""
        ...


class NoPieceCache:
    """A ``PieceCache`` that stores nothing, for engines that transcribe a recording in one call."""

    def get(self, sound: str, language: str | None) -> Transcript | None:
        return None

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        pass


NO_CACHE: Final = NoPieceCache()


class Transcriber(Protocol):
    """A speech-to-text engine that gives a time for every word."""

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
        """Transcribe the first audio track of ``media``, or each voice by ``speakers``.

        Memory use does not grow with the length of the media. ``language`` is an ISO 639-1 code, or
        None to detect it. Silence gives an empty text. Pieces in the cache are not transcribed
        again. Raises a ``PermanentError`` for media that cannot be decoded, ``ModelUnavailable`` if
        the weights cannot be loaded, and the errors of ``SpeechRecognizer.recognize``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """The engine's result for one piece of audio, in seconds from the piece's start.

    ``words`` and ``segments`` are None if the engine gives no times for them. ``language`` (ISO
    639-1) is None if the engine does not report it.
    """

    text: str
    language: str | None
    words: tuple[Word, ...] | None
    segments: tuple[Segment, ...] | None


class SpeechRecognizer(Protocol):
    """An engine that recognizes speech in one piece of audio at a time.

    Splitting recordings into pieces, caching the results and mapping them to the recording's time
    is the same for all of them (``PiecewiseTranscriber``).
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    @property
    def max_seconds(self) -> float:
        """Return the maximum length of a piece in seconds."""
        ...

    @property
    def concurrency(self) -> int:
        """Return the maximum number of concurrent calls."""
        ...

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        """Recognize the speech in ``sound``, which is 16 kHz mono.

        ``language`` is an ISO 639-1 code, or None to detect it. Raises ``LanguageUnsupported``,
        ``ModelUnavailable``, and the errors of ``ProviderClient.execute``.
        """
        ...
