"""Peak memory of ``playhead process`` on a long recording beside a short one, on Linux.

    python -m benchmarks.memory [--hours 2] [--transcriber whisper-tiny.en] [--json]

Both recordings are the English clips of ``tests/fixtures/speech`` one after the other, over and
over, as FLAC; each is processed in a home and a process of its own. The peak is the kernel's
(``ru_maxrss``) for the worker process, without Postgres.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import av
import click
import numpy as np

from benchmarks.environments import Home, json_option, print_rows, temporary_home
from tests.support import media_files

_SHORT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One recording, processed."""

    audio_seconds: float
    file_mib: float
    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    words: int
    chunks: int


def make_long(path: Path, seconds: float) -> Path:
    """Write real speech of this length, or up to a clip more, in constant memory."""
    sounds = [
        media_files.speech(clip.path.stem) for clip in media_files.clips() if clip.language == "en"
    ]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=media_files.RATE, layout="mono")
        done = 0
        for sound in cycle(sounds):
            if done >= seconds * media_files.RATE:
                break
            pcm = np.round(sound * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = media_files.RATE, done
            container.mux(stream.encode(frame))
            done += len(sound)
        container.mux(stream.encode(None))
    return path


def measure(seconds: float, transcriber: str) -> Row:
    """Process one recording. Raises ``ClickException`` with the log if it does not become ready."""
    with temporary_home(transcriber=transcriber) as home:
        file = make_long(home.settings.home.parent / "long.flac", seconds)
        result = home.services.ingest.add(file, org_id=home.settings.org)
        start = time.monotonic()
        child = home.start("playhead", "process")
        _, code, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        if code:
            raise home.failure()
        words, chunks, duration = _count_results(home, result.recording.id)
        return Row(
            audio_seconds=round(duration),
            file_mib=round(file.stat().st_size / (1 << 20), 1),
            wall_seconds=round(wall, 1),
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
            peak_mib=round(usage.ru_maxrss / 1024),  # KiB on Linux
            words=words,
            chunks=chunks,
        )


def _count_results(home: Home, recording_id: str) -> tuple[int, int, float]:
    """Return words, chunks and seconds, so that an empty run is noticed."""
    [recording] = home.services.pipeline.recordings.get_many([recording_id])
    results = {row["stage"]: row for row in home.services.pipeline.results.lineage(recording)}
    transcript = home.services.pipeline.content.transcript(
        recording, results["transcript"]["result_id"]
    )
    chunks = home.services.pipeline.content.chunks(recording, results["chunks"]["recipe_hash"])
    return len(transcript.words), len(chunks), transcript.duration_seconds


def rows(hours: float, transcriber: str) -> Iterator[Row]:
    yield measure(_SHORT_SECONDS, transcriber)
    yield measure(hours * 3600, transcriber)


@click.command()
@click.option("--hours", type=click.FloatRange(min=0.01), default=2.0, show_default=True)
@click.option("--transcriber", default="whisper-tiny.en", show_default=True)
@json_option
def main(hours: float, transcriber: str, as_json: bool) -> None:
    """Process a recording of 10 minutes, then one of HOURS."""
    print_rows(rows(hours, transcriber), as_json=as_json)


if __name__ == "__main__":
    main()
