"""How far words are from where they were said, by where their times come from.

    python -m benchmarks.word_times [--transcriber whisper-base] [--minutes 3] [--json]

The English clips of ``tests/fixtures/speech`` one after the other, half a second apart, over and
over: each clip heard alone by the local engine says when its words begin, and where the clip is in
the whole is known, so the reference knows no piece and no cut. The same engine then hears the
whole as one that gives word times (native), as one that gives segments, and as one that gives text
alone, with each aligner and with none.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import click
import numpy as np

from benchmarks.environments import json_option, print_rows
from playhead.core.audio import Samples
from playhead.core.packaged_models import WHISPER_MODELS
from playhead.core.protocols.transcriber import Recognition, SpeechRecognizer
from playhead.core.records import FREE, Engine, Transcript, Word
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper
from playhead.media.decode import RATE
from playhead.transcripts.alignment import align
from tests.support import media_files

_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds between where words begin and where they should."""

    engine_gives: str
    aligner: str
    timing: str
    words: int
    found: int
    p50: float
    p95: float
    worst: float
    bound: float | None  # as the transcript says
    cpu_seconds_a_second: float


class Without:
    """A listener that keeps word times, or all times, to itself; what it says is heard once, so
    that only times are compared."""

    price = FREE
    concurrency = 1

    def __init__(self, heard: dict[bytes, Recognition], gives: str) -> None:
        self._heard = heard
        self._gives = gives
        self.max_seconds = LocalWhisper.max_seconds

    @property
    def engine(self) -> Engine:
        return Engine("without", self._gives)

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        said = self._heard[sound.tobytes()]
        segments = said.segments if self._gives == "segments" else None
        return Recognition(said.text, said.language, None, segments)


class Remembering:
    """The local engine, and what it said of each piece."""

    price = FREE
    concurrency = 1

    def __init__(self, listener: SpeechRecognizer) -> None:
        self._listener = listener
        self.engine = listener.engine
        self.max_seconds = listener.max_seconds
        self.heard: dict[bytes, Recognition] = {}

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        said = self._listener.recognize(sound, language=language)
        self.heard[sound.tobytes()] = said
        return said


def make(folder: Path, minutes: float, listener: SpeechRecognizer) -> tuple[Path, list[Word]]:
    """The file, and every word of it at its second."""
    names = [
        clip.path.stem
        for clip in media_files.clips()
        if clip.language == "en" and clip.seconds > 2.9
    ]
    pause = np.zeros(round(_PAUSE_SECONDS * RATE), np.float32)
    known = {
        name: listener.recognize(media_files.speech(name), language="en").words or ()
        for name in names
    }
    parts: list[Samples] = []
    words: list[Word] = []
    done = 0
    for name in cycle(names):
        if done >= minutes * 60 * RATE:
            break
        at = done / RATE
        words += [Word(word.word, at + word.start, at + word.end) for word in known[name]]
        parts += [media_files.speech(name), pause]
        done += len(parts[-2]) + len(pause)
    file = media_files.make_audio(folder / "known.flac", np.concatenate(parts))
    return file, words


def row(listener: SpeechRecognizer, gives: str, aligner: str, file: Path, known: list[Word]) -> Row:
    local = None if aligner in ("", "none") else LocalWhisper(aligner, beam_size=1)
    cpu = time.process_time()
    transcript = PiecewiseTranscriber(listener, aligner=local).transcribe(
        file, language="en", progress=lambda _: None
    )
    cpu = time.process_time() - cpu
    errors = _errors(transcript, known)
    return Row(
        engine_gives=gives,
        aligner=aligner,
        timing=transcript.timing,
        words=len(known),
        found=len(errors),
        p50=round(float(np.percentile(errors, 50)), 2),
        p95=round(float(np.percentile(errors, 95)), 2),
        worst=round(max(errors), 2),
        bound=transcript.error_seconds and round(transcript.error_seconds, 2),
        cpu_seconds_a_second=round(cpu / transcript.duration_seconds, 3),
    )


def _errors(transcript: Transcript, known: list[Word]) -> list[float]:
    mates = align([word.word for word in known], [word.word for word in transcript.words])
    return [
        abs(known[mate].start - word.start)
        for word, mate in zip(transcript.words, mates, strict=True)
        if mate is not None
    ]


def rows(transcriber: str, minutes: float) -> Iterator[Row]:
    listener = Remembering(LocalWhisper(transcriber))
    with tempfile.TemporaryDirectory() as folder:
        file, known = make(Path(folder), minutes, listener)
        yield row(listener, "words", "", file, known)
        for gives in ("segments", "text"):
            for aligner in (*WHISPER_MODELS, "none"):
                yield row(Without(listener.heard, gives), gives, aligner, file, known)


@click.command()
@click.option("--transcriber", type=click.Choice(WHISPER_MODELS), default="whisper-base")
@click.option("--minutes", type=click.FloatRange(min=0.5), default=3.0, show_default=True)
@json_option
def main(transcriber: str, minutes: float, as_json: bool) -> None:
    """Errors of word times: native, aligned, interpolated."""
    print_rows(rows(transcriber, minutes), as_json=as_json)


if __name__ == "__main__":
    main()
