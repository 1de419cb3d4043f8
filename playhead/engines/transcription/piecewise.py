"""Transcribe recordings of any length piece by piece, with any ``SpeechRecognizer``.

    media -> voices -> pieces split at pauses -> recognized, some concurrently -> timed
          -> cleaned of hallucinations -> cached -> mapped to the recording -> one transcript

Memory holds only the pieces in progress, whatever the recording's length. Each step is a module of
this package; ``playhead/postgres/pipeline/transcript_pieces.py`` stores finished pieces.
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
from playhead.core.protocols.transcriber import NO_CACHE, PieceCache, Progress, SpeechRecognizer
from playhead.core.records import Engine, Price, SpeakerSource, Transcript
from playhead.engines.transcription.assembly import TranscriptAssembler, merge_channels
from playhead.engines.transcription.hallucinations import (
    find_loops,
    remove_loops,
    remove_prompt,
    remove_silence,
)
from playhead.engines.transcription.pause_splitting import (
    MARGIN_SECONDS,
    OVERLAP_SECONDS,
    SPEECH_THRESHOLD,
    AudioPiece,
)
from playhead.engines.transcription.pause_splitting import split_at_pauses as cut_at_pauses
from playhead.engines.transcription.timed_segments import build_transcript, timed_segments
from playhead.engines.transcription.word_times import TimeRange, add_word_times
from playhead.media.audio_channels import audio_channels
from playhead.media.decode import RATE, decode

#: Maximum length of a piece: it determines what a crash costs and, with the engine's
#: ``concurrency``, the memory.
PIECE_SECONDS: Final = 300.0

#: A piece with less speech is not enough evidence for a language other than the recording's.
_PROGRESS_INTERVAL_SECONDS: Final = 15.0


class PiecewiseTranscriber:
    """A thread-safe ``Transcriber`` over an engine for single pieces.

    The aligner times the words if that engine does not.
    """

    def __init__(
        self,
        recognizer: SpeechRecognizer,
        *,
        aligner: SpeechRecognizer | None = None,
        piece_seconds: float = PIECE_SECONDS,
    ) -> None:
        self._recognizer = recognizer
        self._aligner = aligner
        self._piece_seconds = min(piece_seconds, recognizer.max_seconds)

    @property
    def engine(self) -> Engine:
        """Return the recognizer's identity with all parameters of words and times.

        Raises ``ModelUnavailable``.
        """
        engine = self._recognizer.engine
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
        return self._recognizer.price

    def transcribe(
        self,
        media: Path,
        *,
        language: str | None,
        progress: Progress,
        speakers: SpeakerSource = "none",
        finished: PieceCache = NO_CACHE,
    ) -> Transcript:
        """Transcribe a recording as in ``Transcriber``.

        Raises ``LanguageUnsupported`` for a language that the engine does not know.
        """
        if speakers == "none":
            return self._transcribe_channel(decode(media), language, progress, finished).transcript(
                language
            )
        heard: list[tuple[str, TranscriptAssembler]] = []
        apart = audio_channels(media, speakers)
        for name, voice in apart.items():
            share = _share_progress(progress, [whole for _, whole in heard], len(apart))
            blocks = decode(media, voice=voice)
            heard.append((name, self._transcribe_channel(blocks, language, share, finished)))
        return merge_channels(heard, language)

    def _transcribe_channel(
        self,
        blocks: Iterator[Samples],
        language: str | None,
        progress: Progress,
        finished: PieceCache,
    ) -> TranscriptAssembler:
        whole = TranscriptAssembler()
        for piece, heard in self._transcribe_pieces(blocks, language, finished):
            doubtful = language is None and _language_uncertain(piece, heard, whole.language)
            whole.add(
                piece,
                self._transcribe_piece(piece, whole.language, finished) if doubtful else heard,
            )
            progress(whole.seconds)
        return whole

    def _transcribe_pieces(
        self, blocks: Iterator[Samples], language: str | None, finished: PieceCache
    ) -> Iterator[tuple[AudioPiece, Transcript | None]]:
        """Yield the pieces in order with their transcripts.

        The transcript is None for a piece without speech, which is not sent to an engine. If a
        piece fails, the pieces in progress are completed and cached first.
        """
        at_once = self._recognizer.concurrency
        waiting: deque[tuple[AudioPiece, Future[Transcript] | None]] = deque()
        with ThreadPoolExecutor(at_once, "listener") as pool:
            for piece in cut_at_pauses(blocks, self._piece_seconds):
                if len(waiting) == at_once:
                    yield _seconds_done(waiting.popleft())
                hear = _bind_context(self._transcribe_piece, piece, language, finished)
                waiting.append((piece, pool.submit(hear) if piece.kept else None))
            while waiting:
                yield _seconds_done(waiting.popleft())

    def _transcribe_piece(
        self, piece: AudioPiece, language: str | None, finished: PieceCache
    ) -> Transcript:
        """Return the transcript of a piece from the cache, or transcribe and cache it."""
        key = hashlib.sha256(piece.sound.tobytes()).hexdigest()
        if known := finished.get(key, language):
            return known
        said = self._remove_hallucinations(piece, self._recognize(piece, language))
        finished.put(key, language, said)
        return said

    def _recognize(self, piece: AudioPiece, language: str | None) -> Transcript:
        """Recognize a piece; if the result has loops, retry once in two halves."""
        said = self._add_word_times(piece, language)
        seconds = len(piece.sound) / RATE
        if not find_loops(said.words) or seconds < 2:
            return said
        whole = TranscriptAssembler()
        for half in cut_at_pauses([piece.sound], seconds / 2 + 1):
            whole.add(half, self._add_word_times(half, language) if half.kept else None)
        return whole.transcript(said.language)

    def _add_word_times(self, piece: AudioPiece, language: str | None) -> Transcript:
        heard = self._recognizer.recognize(piece.sound, language=language)
        heard = replace(heard, language=heard.language or language)
        return add_word_times(heard, piece.sound, _speech_seconds(piece), self._aligner)

    def _remove_hallucinations(self, piece: AudioPiece, said: Transcript) -> Transcript:
        """Move words that were not spoken to ``dropped``."""
        prompt = self._recognizer.engine.parameters.get("prompt", "")
        lines = timed_segments(said.segments, said.words)
        lines, echoed = remove_prompt(lines, prompt)
        lines, silent = remove_silence(lines, _speech_seconds(piece))
        lines, looped = remove_loops(lines)
        if not (echoed or silent or looped):
            return said
        return replace(
            build_transcript(lines, said.language, said.duration_seconds),
            timing=said.timing,
            error_seconds=said.error_seconds,
            dropped=(*echoed, *silent, *looped),
        )


def _bind_context(
    said: Callable[[AudioPiece, str | None, PieceCache], Transcript], *given: Any
) -> Callable[[], Transcript]:
    """Bind a call for another thread to the current call context."""
    return partial(copy_context().run, said, *given)


def _seconds_done(
    waiting: tuple[AudioPiece, Future[Transcript] | None],
) -> tuple[AudioPiece, Transcript | None]:
    piece, said = waiting
    return piece, said.result() if said else None


def _language_uncertain(piece: AudioPiece, said: Transcript | None, usual: str | None) -> bool:
    """Return True if a little speech seems to differ in language from all before.

    Such a piece is transcribed again in the usual language.
    """
    if said is None or not said.words or usual in (None, said.language):
        return False
    return sum(end - start for start, end in piece.speech) < _PROGRESS_INTERVAL_SECONDS * RATE


def _speech_seconds(piece: AudioPiece) -> list[TimeRange]:
    return [(start / RATE, end / RATE) for start, end in piece.speech]


def _share_progress(
    progress: Progress, before: Sequence[TranscriptAssembler], voices: int
) -> Progress:
    """Return the progress of one of several voices.

    Each voice has as many seconds as the recording.
    """
    past = sum(piece.seconds for piece in before)
    return lambda seconds: progress((past + seconds) / voices)
