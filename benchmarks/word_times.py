"""Errors of word times, by their source.

    python -m benchmarks.word_times [--transcriber whisper-base] [--minutes 3] [--json]

The English clips of ``tests/fixtures/speech`` one after the other, half a second apart, over and
over: the local engine transcribes each clip alone, which gives the times of its words, and the
position of the clip in the whole is known, so that the reference is independent of pieces. The same
engine then transcribes the whole as one that gives word times (native), as one that gives segments,
and as one that gives only text, with each aligner and with none.
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


class UntimedRecognizer:
    """A recognizer that returns stored recognitions without word times, or without all times.

    Since the text is the same, only times are compared.
    """

    price = FREE
    concurrency = 1

    def __init__(self, recognitions: dict[bytes, Recognition], output: str) -> None:
        self._recognitions = recognitions
        self._output = output
        self.max_seconds = LocalWhisper.max_seconds

    @property
    def engine(self) -> Engine:
        return Engine("without", self._output)

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        recognition = self._recognitions[sound.tobytes()]
        segments = recognition.segments if self._output == "segments" else None
        return Recognition(recognition.text, recognition.language, None, segments)


class RecordingRecognizer:
    """The local engine, which stores its recognition of each piece."""

    price = FREE
    concurrency = 1

    def __init__(self, recognizer: SpeechRecognizer) -> None:
        self._recognizer = recognizer
        self.engine = recognizer.engine
        self.max_seconds = recognizer.max_seconds
        self.recognitions: dict[bytes, Recognition] = {}

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        recognition = self._recognizer.recognize(sound, language=language)
        self.recognitions[sound.tobytes()] = recognition
        return recognition


def make_recording(
    folder: Path, minutes: float, recognizer: SpeechRecognizer
) -> tuple[Path, list[Word]]:
    """Write the file, and return it with every word at its second."""
    names = [
        clip.path.stem
        for clip in media_files.clips()
        if clip.language == "en" and clip.seconds > 2.9
    ]
    pause = np.zeros(round(_PAUSE_SECONDS * RATE), np.float32)
    reference = {
        name: recognizer.recognize(media_files.speech(name), language="en").words or ()
        for name in names
    }
    sounds: list[Samples] = []
    words: list[Word] = []
    done = 0
    for name in cycle(names):
        if done >= minutes * 60 * RATE:
            break
        at = done / RATE
        words += [Word(word.word, at + word.start, at + word.end) for word in reference[name]]
        sounds += [media_files.speech(name), pause]
        done += len(sounds[-2]) + len(pause)
    file = media_files.make_audio(folder / "known.flac", np.concatenate(sounds))
    return file, words


def measure(
    recognizer: SpeechRecognizer, output: str, aligner: str, file: Path, reference: list[Word]
) -> Row:
    local = None if aligner in ("", "none") else LocalWhisper(aligner, beam_size=1)
    cpu = time.process_time()
    transcript = PiecewiseTranscriber(recognizer, aligner=local).transcribe(
        file, language="en", progress=lambda _: None
    )
    cpu = time.process_time() - cpu
    errors = _errors(transcript, reference)
    return Row(
        engine_gives=output,
        aligner=aligner,
        timing=transcript.timing,
        words=len(reference),
        found=len(errors),
        p50=round(float(np.percentile(errors, 50)), 2),
        p95=round(float(np.percentile(errors, 95)), 2),
        worst=round(max(errors), 2),
        bound=transcript.error_seconds and round(transcript.error_seconds, 2),
        cpu_seconds_a_second=round(cpu / transcript.duration_seconds, 3),
    )


def _errors(transcript: Transcript, reference: list[Word]) -> list[float]:
    matches = align([word.word for word in reference], [word.word for word in transcript.words])
    return [
        abs(reference[match].start - word.start)
        for word, match in zip(transcript.words, matches, strict=True)
        if match is not None
    ]


def rows(transcriber: str, minutes: float) -> Iterator[Row]:
    recognizer = RecordingRecognizer(LocalWhisper(transcriber))
    with tempfile.TemporaryDirectory() as folder:
        file, reference = make_recording(Path(folder), minutes, recognizer)
        yield measure(recognizer, "words", "", file, reference)
        for output in ("segments", "text"):
            for aligner in (*WHISPER_MODELS, "none"):
                yield measure(
                    UntimedRecognizer(recognizer.recognitions, output),
                    output,
                    aligner,
                    file,
                    reference,
                )


@click.command()
@click.option("--transcriber", type=click.Choice(WHISPER_MODELS), default="whisper-base")
@click.option("--minutes", type=click.FloatRange(min=0.5), default=3.0, show_default=True)
@json_option
def main(transcriber: str, minutes: float, as_json: bool) -> None:
    """Measure errors of word times: native, aligned, interpolated."""
    print_rows(rows(transcriber, minutes), as_json=as_json)


if __name__ == "__main__":
    main()
