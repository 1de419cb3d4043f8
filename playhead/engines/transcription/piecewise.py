"""Recordings of any length, piece by piece, with any engine that hears one piece at a time.

    media -> voices -> pieces cut at pauses -> heard, some at once -> timed -> guarded
          -> kept -> on the recording's clock -> one transcript

Memory holds the pieces that are being heard, whatever the recording's length. Not here: the steps
themselves (a file each beside this one), where finished pieces are kept
(``playhead/postgres/pipeline/transcript_pieces.py``).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from playhead.core.audio import Samples
from playhead.core.protocols.transcriber import NO_CACHE, Listener, PieceCache, Progress
from playhead.core.records import Engine, Price, SpeakerSource, Transcript
from playhead.engines.transcription.assembly import Whole, of_voices
from playhead.engines.transcription.hallucinations import (
    loops,
    without_loops,
    without_prompt,
    without_silence,
)
from playhead.engines.transcription.pause_splitting import (
    MARGIN_SECONDS,
    OVERLAP_SECONDS,
    SPEECH_THRESHOLD,
    Piece,
)
from playhead.engines.transcription.pause_splitting import pieces as cut_at_pauses
from playhead.engines.transcription.timed_segments import lines_of, transcript_of
from playhead.engines.transcription.word_times import Stretch, timed
from playhead.media.audio_channels import voices
from playhead.media.decode import RATE, decode

#: The longest piece: what a crash costs, and with the engine's ``at_once`` the memory.
PIECE_SECONDS: Final = 300.0

#: A piece with less speech proves no language other than the recording's.
_TELLING_SECONDS: Final = 15.0


class Piecewise:
    """A ``Transcriber``. ``aligner``: who tells the times of words to which ``listener`` gives
    none. Several threads may transcribe at once."""

    def __init__(
        self,
        listener: Listener,
        *,
        aligner: Listener | None = None,
        piece_seconds: float = PIECE_SECONDS,
    ) -> None:
        self._listener = listener
        self._aligner = aligner
        self._piece_seconds = min(piece_seconds, listener.longest_seconds)

    @property
    def engine(self) -> Engine:
        """The listener's, with all that its words and their times depend on. Raises
        ``ModelUnavailable``."""
        engine = self._listener.engine
        aligner = {"aligner": self._aligner.engine.model} if self._aligner else {}
        ours = {
            "piece_seconds": self._piece_seconds,
            "overlap_seconds": OVERLAP_SECONDS,
            "silence_margin_seconds": MARGIN_SECONDS,
            "speech_threshold": SPEECH_THRESHOLD,
        }
        return replace(engine, parameters={**engine.parameters, **ours, **aligner})

    @property
    def price(self) -> Price:
        return self._listener.price

    def transcribe(
        self,
        media: Path,
        *,
        language: str | None,
        progress: Progress,
        speakers: SpeakerSource = "none",
        finished: PieceCache = NO_CACHE,
    ) -> Transcript:
        """See ``Transcriber``. Raises ``LanguageUnsupported`` for one the engine does not know."""
        if speakers == "none":
            return self._voice(decode(media), language, progress, finished).transcript(language)
        heard: list[tuple[str, Whole]] = []
        apart = voices(media, speakers)
        for name, voice in apart.items():
            share = _share(progress, [whole for _, whole in heard], len(apart))
            blocks = decode(media, voice=voice)
            heard.append((name, self._voice(blocks, language, share, finished)))
        return of_voices(heard, language)

    def _voice(
        self,
        blocks: Iterator[Samples],
        language: str | None,
        progress: Progress,
        finished: PieceCache,
    ) -> Whole:
        whole = Whole()
        for piece, heard in self._all_said(blocks, language, finished):
            doubtful = language is None and _in_doubt(piece, heard, whole.language)
            whole.add(piece, self._said(piece, whole.language, finished) if doubtful else heard)
            progress(whole.seconds)
        return whole

    def _all_said(
        self, blocks: Iterator[Samples], language: str | None, finished: PieceCache
    ) -> Iterator[tuple[Piece, Transcript | None]]:
        """The pieces in order with what is said in each; None where nobody speaks, which no
        engine is asked. When one fails, those that others are at are waited for and kept."""
        at_once = self._listener.at_once
        waiting: deque[tuple[Piece, Future[Transcript] | None]] = deque()
        with ThreadPoolExecutor(at_once, "listener") as pool:
            for piece in cut_at_pauses(blocks, self._piece_seconds):
                if len(waiting) == at_once:
                    yield _done(waiting.popleft())
                hear = _here(self._said, piece, language, finished)
                waiting.append((piece, pool.submit(hear) if piece.kept else None))
            while waiting:
                yield _done(waiting.popleft())

    def _said(self, piece: Piece, language: str | None, finished: PieceCache) -> Transcript:
        """From what is kept, or heard and kept."""
        key = hashlib.sha256(piece.sound.tobytes()).hexdigest()
        if known := finished.get(key, language):
            return known
        said = self._guarded(piece, self._heard(piece, language))
        finished.put(key, language, said)
        return said

    def _heard(self, piece: Piece, language: str | None) -> Transcript:
        """What the engine says; where it repeats itself it is asked once more, by halves."""
        said = self._timed(piece, language)
        seconds = len(piece.sound) / RATE
        if not loops(said.words) or seconds < 2:
            return said
        whole = Whole()
        for half in cut_at_pauses([piece.sound], seconds / 2 + 1):
            whole.add(half, self._timed(half, language) if half.kept else None)
        return whole.transcript(said.language)

    def _timed(self, piece: Piece, language: str | None) -> Transcript:
        heard = self._listener.hear(piece.sound, language=language)
        heard = replace(heard, language=heard.language or language)
        return timed(heard, piece.sound, _speech_seconds(piece), self._aligner)

    def _guarded(self, piece: Piece, said: Transcript) -> Transcript:
        """Without what nobody said, which stands in ``dropped``."""
        prompt = self._listener.engine.parameters.get("prompt", "")
        lines = lines_of(said.segments, said.words)
        lines, echoed = without_prompt(lines, prompt)
        lines, silent = without_silence(lines, _speech_seconds(piece))
        lines, looped = without_loops(lines)
        if not (echoed or silent or looped):
            return said
        return replace(
            transcript_of(lines, said.language, said.duration_seconds),
            timing=said.timing,
            error_seconds=said.error_seconds,
            dropped=(*echoed, *silent, *looped),
        )


def _here(
    said: Callable[[Piece, str | None, PieceCache], Transcript], *given: Any
) -> Callable[[], Transcript]:
    """To be called in another thread as if it were here: for the same errand."""
    return partial(copy_context().run, said, *given)


def _done(
    waiting: tuple[Piece, Future[Transcript] | None],
) -> tuple[Piece, Transcript | None]:
    piece, said = waiting
    return piece, said.result() if said else None


def _in_doubt(piece: Piece, said: Transcript | None, usual: str | None) -> bool:
    """Whether a little speech seems to be in another language than all before: then it is heard
    once more, as that one."""
    if said is None or not said.words or usual in (None, said.language):
        return False
    return sum(end - start for start, end in piece.speech) < _TELLING_SECONDS * RATE


def _speech_seconds(piece: Piece) -> list[Stretch]:
    return [(start / RATE, end / RATE) for start, end in piece.speech]


def _share(progress: Progress, before: Sequence[Whole], voices: int) -> Progress:
    """Of one of several voices, each of which has the whole recording's seconds."""
    past = sum(one.seconds for one in before)
    return lambda seconds: progress((past + seconds) / voices)
