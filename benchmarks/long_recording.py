"""A long recording through the local transcriber: time, memory, kills, and the cost of pieces.

    python -m benchmarks.long_recording [--hours 4] [--speech FOLDER] [--kills 5]
                                        [--transcriber whisper-tiny.en] [--uncut 10] [--json]

Real speech with pauses as FLAC: the clips of FOLDER one after the other, over and over, each time
at another volume and with other noise. A worker process transcribes it with its pieces in Postgres,
is killed -9 after a share of the pieces, KILLS times, and then runs to the end. ``heard_again``:
pieces that were begun more than once. ``peak_mib`` is of the worker that finished, CPU of all. The
first ``--uncut`` minutes are compared with faster-whisper itself, which transcribes them as a
whole.
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
from benchmarks.word_error_rate import ReferenceClip, manifest, normalise
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
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """The measurement. Errors are shares of the spoken words."""

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
    """A recording and its text; ``beginning`` is a file of its first minutes."""

    file: Path
    seconds: float
    text: str
    beginning: Path
    beginning_text: str


def make_recording(folder: Path, speech: Path, seconds: float, uncut: float) -> LongRecording:
    """Write the recording in constant memory."""
    clips = [item for item in manifest(speech) if item.language == "en" and item.seconds > 2.9]
    text = _write(folder / "long.flac", clips, seconds)
    beginning = _write(folder / "beginning.flac", clips, min(uncut, seconds))
    return LongRecording(folder / "long.flac", seconds, text, folder / "beginning.flac", beginning)


def _write(file: Path, clips: list[ReferenceClip], seconds: float) -> str:
    references: list[str] = []
    with av.open(str(file), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        done, rng = 0, np.random.default_rng(len(clips))
        for clip, pause in zip(cycle(clips), cycle(_PAUSES), strict=False):
            if done >= seconds * RATE:
                break
            speech_ = _vary(np.concatenate(list(decode(clip.path))), rng)
            for sound in (speech_, media_files.silence(pause)):
                frame = _frame(sound, done)
                container.mux(stream.encode(frame))
                done += len(sound)
            references.append(clip.reference)
        container.mux(stream.encode(None))
    return " ".join(references)


def _vary(sound: Samples, rng: np.random.Generator) -> Samples:
    """Return the same words, softer and with some noise, so that no two pieces are equal."""
    noise = rng.normal(0.0, rng.uniform(0.0005, 0.005), len(sound))
    return (sound * rng.uniform(0.4, 0.95) + noise).astype(np.float32)


def _frame(sound: Samples, at: int) -> av.AudioFrame:
    pcm = np.round(sound * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts = RATE, at
    return frame


@dataclass
class LoggingRecognizer:
    """The local engine, which logs every piece that it begins to a file."""

    recognizer: LocalWhisper
    log: Path
    engine: Engine = field(init=False)

    price = FREE
    concurrency = LocalWhisper.concurrency
    max_seconds = LocalWhisper.max_seconds

    def __post_init__(self) -> None:
        self.engine = self.recognizer.engine

    def recognize(self, sound: Samples, *, language: str | None) -> Recognition:
        with self.log.open("a") as log:
            log.write(f"{len(sound)} {hashlib.sha256(sound.tobytes()).hexdigest()}\n")
        return self.recognizer.recognize(sound, language=language)


def run_worker(url: str, recording_id: str, file: Path, transcriber: str, log: Path) -> None:
    """Transcribe as the worker process, and write the result beside the log."""
    database = Database(url)
    [recording] = Recordings(database).get_many([recording_id])
    transcriber_ = PiecewiseTranscriber(LoggingRecognizer(LocalWhisper(transcriber), log))
    finished = TranscriptPieces(database).of(recording, transcriber_.engine)
    transcript = transcriber_.transcribe(
        file, language="en", progress=lambda _: None, finished=finished
    )
    peak = _peak_kib() / 1024
    result = {"text": transcript.text, "seconds": transcript.duration_seconds, "peak": peak}
    log.with_suffix(".json").write_text(json.dumps(result))


def _peak_kib() -> int:
    """Return the peak of this process alone; getrusage starts with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def measure(home: Home, recording_: LongRecording, kills: int, transcriber: str) -> Row:
    recording = home.services.ingest.add(recording_.file, org_id=home.settings.org).recording
    log = recording_.file.with_name("log.txt")
    log.touch()
    url = app_url(home.settings)
    task = url, recording.id, recording_.file, transcriber, log
    start, cpu = time.monotonic(), _children_cpu()
    share = max(1, round(recording_.seconds / LocalWhisper.max_seconds / (kills + 1)))
    for _ in range(kills):
        _kill_after(share, task)
    _run_to_end(task)
    wall, cpu = time.monotonic() - start, _children_cpu() - cpu
    result = json.loads(log.with_suffix(".json").read_text())
    begun_pieces = log.read_text().splitlines()
    return Row(
        audio_seconds=round(result["seconds"]),
        kills=kills,
        pieces=len(set(begun_pieces)),
        heard_again=len(begun_pieces) - len(set(begun_pieces)),
        wall_seconds=round(wall, 1),
        cpu_seconds_a_second=round(cpu / result["seconds"], 3),
        peak_mib=round(result["peak"]),
        word_errors=_errors(recording_.text, result["text"]),
        beginning_word_errors=_errors(
            recording_.beginning_text, _transcribe_in_pieces(recording_.beginning, transcriber)
        ),
        beginning_word_errors_uncut=_errors(
            recording_.beginning_text, _transcribe_whole(recording_.beginning, transcriber)
        ),
    )


_Task = tuple[str, str, Path, str, Path]


def _kill_after(pieces: int, task: _Task) -> None:
    """Kill a worker in the middle of a piece, after it has begun one more than so many."""
    before = len(task[-1].read_text().splitlines())
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=task)
    worker.start()
    while worker.is_alive() and len(task[-1].read_text().splitlines()) <= before + pieces:
        time.sleep(_POLL_SECONDS)
    time.sleep(_POLL_SECONDS)
    worker.kill()
    worker.join()


def _run_to_end(task: _Task) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=task)
    worker.start()
    worker.join()
    if worker.exitcode:
        raise click.ClickException(f"The worker ended with {worker.exitcode}.")


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _transcribe_in_pieces(file: Path, transcriber: str) -> str:
    transcriber_ = PiecewiseTranscriber(LocalWhisper(transcriber))
    return transcriber_.transcribe(file, language="en", progress=lambda _: None).text


def _transcribe_whole(file: Path, transcriber: str) -> str:
    model = WhisperModel(
        transcriber, device="cpu", compute_type="int8", files=whisper_files(transcriber)
    )
    segments, _ = model.transcribe(str(file), language="en", word_timestamps=True)
    return " ".join(segment.text.strip() for segment in segments)


def _errors(reference: str, text: str) -> float:
    return round(float(jiwer.wer(normalise(reference), normalise(text))), 4)


def rows(hours: float, speech: Path, kills: int, transcriber: str, uncut: float) -> Iterator[Row]:
    """Yield a tenth of the length first: its memory must be the same."""
    for seconds, times in ((hours * 360, 0), (hours * 3600, kills)):
        with temporary_home(transcriber=transcriber) as home:
            recording_ = make_recording(home.settings.home.parent, speech, seconds, uncut * 60)
            yield measure(home, recording_, times, transcriber)


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
    """Transcribe a recording of HOURS, after one of a tenth."""
    print_rows(rows(hours, speech.absolute(), kills, transcriber, uncut), as_json=as_json)


if __name__ == "__main__":
    main()
