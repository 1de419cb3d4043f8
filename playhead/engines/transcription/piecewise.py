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
    split_at_pauses,
)
from playhead.engines.transcription.timed_segments import build_transcript, timed_segments
from playhead.engines.transcription.word_times import TimeRange, add_word_times
from playhead.media.audio_channels import audio_channels
from playhead.media.decode import RATE, decode

#: Maximum length of a piece: it determines what a crash costs and, with the engine's
#: ``concurrency``, the memory.
PIECE_SECONDS: Final = 300.0

#: A piece with less speech is not enough evidence for a language other than the recording's.
_MIN_LANGUAGE_SECONDS: Final = 15.0


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
        parameters = {
            "piece_seconds": self._piece_seconds,
            "overlap_seconds": OVERLAP_SECONDS,
            "silence_margin_seconds": MARGIN_SECONDS,
            "speech_threshold": SPEECH_THRESHOLD,
        }
        return replace(engine, parameters={**engine.parameters, **parameters, **aligner})

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
        transcribed: list[tuple[str, TranscriptAssembler]] = []
        channels = audio_channels(media, speakers)
        for name, channel in channels.items():
            share = _share_progress(
                progress, [assembler for _, assembler in transcribed], len(channels)
            )
            blocks = decode(media, audio_channel=channel)
            transcribed.append((name, self._transcribe_channel(blocks, language, share, finished)))
        return merge_channels(transcribed, language)

    def _transcribe_channel(
        self,
        blocks: Iterator[Samples],
        language: str | None,
        progress: Progress,
        finished: PieceCache,
    ) -> TranscriptAssembler:
        assembler = TranscriptAssembler()
        for piece, transcript in self._transcribe_pieces(blocks, language, finished):
            doubtful = language is None and _language_uncertain(
                piece, transcript, assembler.language
            )
            assembler.add(
                piece,
                self._transcribe_piece(piece, assembler.language, finished)
                if doubtful
                else transcript,
            )
            progress(assembler.seconds)
        return assembler

    def _transcribe_pieces(
        self, blocks: Iterator[Samples], language: str | None, finished: PieceCache
    ) -> Iterator[tuple[AudioPiece, Transcript | None]]:
        """Yield the pieces in order with their transcripts.

        The transcript is None for a piece without speech, which is not sent to an engine. If a
        piece fails, the pieces in progress are completed and cached first.
        """
        concurrency = self._recognizer.concurrency
        pending: deque[tuple[AudioPiece, Future[Transcript] | None]] = deque()
        with ThreadPoolExecutor(concurrency, "recognizer") as pool:
            for piece in split_at_pauses(blocks, self._piece_seconds):
                if len(pending) == concurrency:
                    yield _finished_piece(pending.popleft())
                task = _bind_context(self._transcribe_piece, piece, language, finished)
                pending.append((piece, pool.submit(task) if piece.ranges else None))
            while pending:
                yield _finished_piece(pending.popleft())

    def _transcribe_piece(
        self, piece: AudioPiece, language: str | None, finished: PieceCache
    ) -> Transcript:
        """Return the transcript of a piece from the cache, or transcribe and cache it."""
        key = hashlib.sha256(piece.sound.tobytes()).hexdigest()
        if cached := finished.get(key, language):
            return cached
        transcript = self._remove_hallucinations(piece, self._recognize(piece, language))
        finished.put(key, language, transcript)
        return transcript

    def _recognize(self, piece: AudioPiece, language: str | None) -> Transcript:
        """Recognize a piece; if the result has loops, retry once in two halves."""
        transcript = self._add_word_times(piece, language)
        seconds = len(piece.sound) / RATE
        if not find_loops(transcript.words) or seconds < 2:
            return transcript
        assembler = TranscriptAssembler()
        for half in split_at_pauses([piece.sound], seconds / 2 + 1):
            assembler.add(half, self._add_word_times(half, language) if half.ranges else None)
        return assembler.transcript(transcript.language)

    def _add_word_times(self, piece: AudioPiece, language: str | None) -> Transcript:
        recognition = self._recognizer.recognize(piece.sound, language=language)
        recognition = replace(recognition, language=recognition.language or language)
        return add_word_times(recognition, piece.sound, _speech_seconds(piece), self._aligner)

    def _remove_hallucinations(self, piece: AudioPiece, transcript: Transcript) -> Transcript:
        """Move words that were not spoken to ``dropped``."""
        prompt = self._recognizer.engine.parameters.get("prompt", "")
        lines = timed_segments(transcript.segments, transcript.words)
        lines, echoed = remove_prompt(lines, prompt)
        lines, silent = remove_silence(lines, _speech_seconds(piece))
        lines, looped = remove_loops(lines)
        if not (echoed or silent or looped):
            return transcript
        return replace(
            build_transcript(lines, transcript.language, transcript.duration_seconds),
            timing=transcript.timing,
            error_seconds=transcript.error_seconds,
            dropped=(*echoed, *silent, *looped),
        )


def _bind_context(
    function: Callable[[AudioPiece, str | None, PieceCache], Transcript], *args: Any
) -> Callable[[], Transcript]:
    """Bind a call for another thread to the current call context."""
    return partial(copy_context().run, function, *args)


def _finished_piece(
    pending: tuple[AudioPiece, Future[Transcript] | None],
) -> tuple[AudioPiece, Transcript | None]:
    piece, future = pending
    return piece, future.result() if future else None


def _language_uncertain(
    piece: AudioPiece, transcript: Transcript | None, main_language: str | None
) -> bool:
    """Return True if a little speech seems to differ in language from all before.

    Such a piece is transcribed again in the usual language.
    """
    if transcript is None or not transcript.words or main_language in (None, transcript.language):
        return False
    return sum(end - start for start, end in piece.speech) < _MIN_LANGUAGE_SECONDS * RATE


def _speech_seconds(piece: AudioPiece) -> list[TimeRange]:
    return [(start / RATE, end / RATE) for start, end in piece.speech]


def _share_progress(
    progress: Progress, before: Sequence[TranscriptAssembler], channels: int
) -> Progress:
    """Return the progress of one of several voices.

    Each voice has as many seconds as the recording.
    """
    past = sum(piece.seconds for piece in before)
    return lambda seconds: progress((past + seconds) / channels)
