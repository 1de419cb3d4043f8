"""What the pipeline asks of any speech-to-text engine. Adapters live beside this file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from resources.records import Engine, Price, Transcript

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
