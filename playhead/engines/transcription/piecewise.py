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

#: The longest piece: what a crash costs, and with the engine's ``at_once`` the memory.
PIECE_SECONDS: Final = 300.0

#: A piece with less speech proves no language other than the recording's.
_PROGRESS_INTERVAL_SECONDS: Final = 15.0


class PiecewiseTranscriber:
    """A ``Transcriber``. ``aligner``: who tells the times of words to which ``listener`` gives
    none. Several threads may transcribe at once."""

    def __init__(
        self,
        listener: SpeechRecognizer,
        *,
        aligner: SpeechRecognizer | None = None,
        piece_seconds: float = PIECE_SECONDS,
    ) -> None:
        self._listener = listener
        self._aligner = aligner
        self._piece_seconds = min(piece_seconds, listener.max_seconds)

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
        """The pieces in order with what is said in each; None where nobody speaks, which no
        engine is asked. When one fails, those that others are at are waited for and kept."""
        at_once = self._listener.concurrency
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
        """From what is kept, or heard and kept."""
        key = hashlib.sha256(piece.sound.tobytes()).hexdigest()
        if known := finished.get(key, language):
            return known
        said = self._remove_hallucinations(piece, self._recognize(piece, language))
        finished.put(key, language, said)
        return said

    def _recognize(self, piece: AudioPiece, language: str | None) -> Transcript:
        """What the engine says; where it repeats itself it is asked once more, by halves."""
        said = self._add_word_times(piece, language)
        seconds = len(piece.sound) / RATE
        if not find_loops(said.words) or seconds < 2:
            return said
        whole = TranscriptAssembler()
        for half in cut_at_pauses([piece.sound], seconds / 2 + 1):
            whole.add(half, self._add_word_times(half, language) if half.kept else None)
        return whole.transcript(said.language)

    def _add_word_times(self, piece: AudioPiece, language: str | None) -> Transcript:
        heard = self._listener.recognize(piece.sound, language=language)
        heard = replace(heard, language=heard.language or language)
        return add_word_times(heard, piece.sound, _speech_seconds(piece), self._aligner)

    def _remove_hallucinations(self, piece: AudioPiece, said: Transcript) -> Transcript:
        """Without what nobody said, which stands in ``dropped``."""
        prompt = self._listener.engine.parameters.get("prompt", "")
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
    """To be called in another thread as if it were here: for the same errand."""
    return partial(copy_context().run, said, *given)


def _seconds_done(
    waiting: tuple[AudioPiece, Future[Transcript] | None],
) -> tuple[AudioPiece, Transcript | None]:
    piece, said = waiting
    return piece, said.result() if said else None


def _language_uncertain(piece: AudioPiece, said: Transcript | None, usual: str | None) -> bool:
    """Whether a little speech seems to be in another language than all before: then it is heard
    once more, as that one."""
    if said is None or not said.words or usual in (None, said.language):
        return False
    return sum(end - start for start, end in piece.speech) < _PROGRESS_INTERVAL_SECONDS * RATE


def _speech_seconds(piece: AudioPiece) -> list[TimeRange]:
    return [(start / RATE, end / RATE) for start, end in piece.speech]


def _share_progress(
    progress: Progress, before: Sequence[TranscriptAssembler], voices: int
) -> Progress:
    """Of one of several voices, each of which has the whole recording's seconds."""
    past = sum(one.seconds for one in before)
    return lambda seconds: progress((past + seconds) / voices)
