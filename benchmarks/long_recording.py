"""A long recording through the local transcriber: time, memory, kills, and what cutting costs.

    python -m benchmarks.long_recording [--hours 4] [--speech FOLDER] [--kills 5]
                                        [--transcriber whisper-tiny.en] [--uncut 10] [--json]

Real speech with pauses as FLAC: the clips of FOLDER one after the other, over and over, each time
at another volume and in other noise. A worker
process transcribes it with its pieces in Postgres, is killed -9 after a share of the pieces, KILLS
times, and then let through. ``heard_again``: pieces that were begun more often than once.
``peak_mib`` is of the worker that finished, CPU of all. The first ``--uncut`` minutes
are compared with faster-whisper itself, which hears them in one go.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import av
import click
import jiwer
import numpy as np
from faster_whisper import WhisperModel

from benchmarks.environments import Home, json_option, print_rows, temporary_home
from benchmarks.word_error_rate import Spoken, manifest, normalise
from playhead.core.audio import Samples
from playhead.core.packaged_models import WHISPER_MODELS, whisper_files
from playhead.core.protocols.transcriber import Recognition
from playhead.core.records import FREE, Engine
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper
from playhead.media.decode import RATE, decode
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.pipeline.transcript_pieces import TranscriptPieces
from tests.support import media_files

_PAUSES = (0.4, 0.9, 2.5, 0.6, 6.0)  # seconds between clips, in turn
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """Errors are shares of the words that are said."""

    audio_seconds: float
    kills: int
    pieces: int
    heard_again: int
    wall_seconds: float
    cpu_seconds_a_second: float
    peak_mib: float
    word_errors: float
    beginning_word_errors: float
    beginning_word_errors_uncut: float


@dataclass(frozen=True, slots=True)
class LongRecording:
    """A recording, and what is said in it; ``beginning``: in its first minutes, which are a file of
    their own."""

    file: Path
    seconds: float
    text: str
    beginning: Path
    beginning_text: str


def make_recording(folder: Path, speech: Path, seconds: float, uncut: float) -> LongRecording:
    """Written in the memory of the clips."""
    clips = [item for item in manifest(speech) if item.language == "en" and item.seconds > 2.9]
    text = _write(folder / "long.flac", clips, seconds)
    beginning = _write(folder / "beginning.flac", clips, min(uncut, seconds))
    return LongRecording(folder / "long.flac", seconds, text, folder / "beginning.flac", beginning)


def _write(file: Path, clips: list[Spoken], seconds: float) -> str:
    said: list[str] = []
    with av.open(str(file), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        done, chance = 0, np.random.default_rng(len(clips))
        for clip, pause in zip(cycle(clips), cycle(_PAUSES), strict=False):
            if done >= seconds * RATE:
                break
            spoken = _vary(np.concatenate(list(decode(clip.path))), chance)
            for sound in (spoken, media_files.silence(pause)):
                frame = _frame(sound, done)
                container.mux(stream.encode(frame))
                done += len(sound)
            said.append(clip.reference)
        container.mux(stream.encode(None))
    return " ".join(said)


def _vary(sound: Samples, chance: np.random.Generator) -> Samples:
    """The same words, softer and in some noise: no piece of the recording is like another."""
    noise = chance.normal(0.0, chance.uniform(0.0005, 0.005), len(sound))
    return (sound * chance.uniform(0.4, 0.95) + noise).astype(np.float32)


def _frame(sound: Samples, at: int) -> av.AudioFrame:
    pcm = np.round(sound * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts = RATE, at
    return frame


@dataclass
class LoggingRecognizer:
    """The local engine; every piece that it begins is a line in a file, which outlives it."""

    listener: LocalWhisper
    log: Path
    engine: Engine = field(init=False)

    price = FREE
    concurrency = LocalWhisper.concurrency
    max_seconds = LocalWhisper.max_seconds

    def __post_init__(self) -> None:
        self.engine = self.listener.engine

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        with self.log.open("a") as log:
            log.write(f"{len(sound)} {hashlib.sha256(sound.tobytes()).hexdigest()}\n")
        return self.listener.recognize(sound, language=language)


def run_worker(url: str, recording_id: str, file: Path, transcriber: str, log: Path) -> None:
    """The worker. What came of it is written beside its log."""
    database = Database(url)
    [recording] = Recordings(database).get_many([recording_id])
    whole = PiecewiseTranscriber(LoggingRecognizer(LocalWhisper(transcriber), log))
    finished = TranscriptPieces(database).of(recording, whole.engine)
    transcript = whole.transcribe(file, language="en", progress=lambda _: None, finished=finished)
    peak = _peak_kib() / 1024
    told = {"text": transcript.text, "seconds": transcript.duration_seconds, "peak": peak}
    log.with_suffix(".json").write_text(json.dumps(told))


def _peak_kib() -> int:
    """Of this process alone: what getrusage tells begins with what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def measure(home: Home, said: LongRecording, kills: int, transcriber: str) -> Row:
    recording = home.services.ingest.add(said.file, org_id=home.settings.org).recording
    log = said.file.with_name("log.txt")
    log.touch()
    url = app_url(home.settings)
    task = url, recording.id, said.file, transcriber, log
    start, cpu = time.monotonic(), _children_cpu()
    share = max(1, round(said.seconds / LocalWhisper.max_seconds / (kills + 1)))
    for _ in range(kills):
        _kill_after(share, task)
    _run_to_end(task)
    wall, cpu = time.monotonic() - start, _children_cpu() - cpu
    told = json.loads(log.with_suffix(".json").read_text())
    begun = log.read_text().splitlines()
    return Row(
        audio_seconds=round(told["seconds"]),
        kills=kills,
        pieces=len(set(begun)),
        heard_again=len(begun) - len(set(begun)),
        wall_seconds=round(wall, 1),
        cpu_seconds_a_second=round(cpu / told["seconds"], 3),
        peak_mib=round(told["peak"]),
        word_errors=_errors(said.text, told["text"]),
        beginning_word_errors=_errors(
            said.beginning_text, _transcribe_in_pieces(said.beginning, transcriber)
        ),
        beginning_word_errors_uncut=_errors(
            said.beginning_text, _transcribe_whole(said.beginning, transcriber)
        ),
    )


_Task = tuple[str, str, Path, str, Path]


def _kill_after(pieces: int, task: _Task) -> None:
    """Kill a worker in the middle of a piece, after it has begun so many and one more."""
    before = len(task[-1].read_text().splitlines())
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=task)
    worker.start()
    while worker.is_alive() and len(task[-1].read_text().splitlines()) <= before + pieces:
        time.sleep(_LOOK_SECONDS)
    time.sleep(_LOOK_SECONDS)
    worker.kill()
    worker.join()


def _run_to_end(task: _Task) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=task)
    worker.start()
    worker.join()
    if worker.exitcode:
        raise click.ClickException(f"The worker ended with {worker.exitcode}.")


def _children_cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _transcribe_in_pieces(file: Path, transcriber: str) -> str:
    whole = PiecewiseTranscriber(LocalWhisper(transcriber))
    return whole.transcribe(file, language="en", progress=lambda _: None).text


def _transcribe_whole(file: Path, transcriber: str) -> str:
    model = WhisperModel(
        transcriber, device="cpu", compute_type="int8", files=whisper_files(transcriber)
    )
    segments, _ = model.transcribe(str(file), language="en", word_timestamps=True)
    return " ".join(segment.text.strip() for segment in segments)


def _errors(reference: str, text: str) -> float:
    return round(float(jiwer.wer(normalise(reference), normalise(text))), 4)


def rows(hours: float, speech: Path, kills: int, transcriber: str, uncut: float) -> Iterator[Row]:
    """A tenth of the length first: memory must be the same."""
    for seconds, times in ((hours * 360, 0), (hours * 3600, kills)):
        with temporary_home(transcriber=transcriber) as home:
            said = make_recording(home.settings.home.parent, speech, seconds, uncut * 60)
            yield measure(home, said, times, transcriber)


@click.command()
@click.option("--hours", type=click.FloatRange(min=0.05), default=4.0, show_default=True)
@click.option(
    "--speech",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=media_files.SPEECH,
    help="A folder with MANIFEST.tsv. [default: the clips of the tests]",
)
@click.option("--kills", type=click.IntRange(min=0), default=5, show_default=True)
@click.option("--transcriber", type=click.Choice(WHISPER_MODELS), default="whisper-tiny.en")
@click.option("--uncut", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@json_option
def main(
    hours: float, speech: Path, kills: int, transcriber: str, uncut: float, as_json: bool
) -> None:
    """A recording of HOURS, after one of a tenth."""
    print_rows(rows(hours, speech.absolute(), kills, transcriber, uncut), as_json=as_json)


if __name__ == "__main__":
    main()
