"""From an upload's end to its first step's start, on an idle system like ``make dev``.

    python -m benchmarks.latency [--uploads 50] [--json]

Dagster's services and the warm worker run, with the ``stub`` engines; one recording at a time is
uploaded, each when the previous one is ready and a second has passed. Two ways:

- ``added``: from the commit of ``Recordings.add``, as after ``playhead add``
- ``dropped``: from the moment its writer closes the file in the inbox

Seconds to the start of the run's step as Dagster records it, and to the recording being ready.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import dagster as dg

from benchmarks.environments import Home, json_option, print_rows, temporary_home, wait_until
from benchmarks.throughput import tiny_recordings
from pipeline_assets.tags import PARTITION_NAME_TAG
from playhead.core.records import Recording
from playhead.postgres.coordination.liveness import WORKER

_TIMEOUT_SECONDS = 120.0
_IDLE_SECONDS = 1.0

#: Adds a file; returns the time when that was done, and the recording.
Upload = Callable[[Home, Path], tuple[float, Recording]]


@dataclass(frozen=True, slots=True)
class Row:
    """One way, measured: percentiles of seconds since the upload's end."""

    way: str
    uploads: int
    started_p50: float
    started_p95: float
    started_most: float
    ready_p50: float
    ready_p95: float
    load_average: float


def add(home: Home, file: Path) -> tuple[float, Recording]:
    recording = home.services.ingest.add(file, org_id=home.settings.org).recording
    return time.time(), recording


def drop(home: Home, file: Path) -> tuple[float, Recording]:
    sound, known_ids = file.read_bytes(), _ids(home)
    with (home.inbox / file.name).open("wb") as writer:
        writer.write(sound)
    done = time.time()
    wait_until(lambda: _ids(home) > known_ids, seconds=_TIMEOUT_SECONDS, every=0.02)
    return done, home.services.pipeline.recordings.get_many(sorted(_ids(home) - known_ids))[0]


def measure(home: Home, way: str, upload: Upload, files: Sequence[Path]) -> Row:
    started, ready = [], []
    for file in files:
        time.sleep(_IDLE_SECONDS)
        done, recording = upload(home, file)
        wait_until(lambda: home.idle, seconds=_TIMEOUT_SECONDS, every=0.05)
        started.append(_started_at(home, recording) - done)
        ready.append(_ready_at(home, recording) - done)
    return Row(
        way=way,
        uploads=len(files),
        started_p50=_percentile(started, 50),
        started_p95=_percentile(started, 95),
        started_most=max(started),
        ready_p50=_percentile(ready, 50),
        ready_p95=_percentile(ready, 95),
        load_average=round(os.getloadavg()[0], 1),
    )


def rows(uploads: int) -> Iterator[Row]:
    with (
        temporary_home(transcriber="stub", embedder="stub") as home,
        home.running("playhead", "process", "--watch"),
        home.dagster(),
    ):
        is_alive = home.services.liveness.is_alive
        wait_until(lambda: is_alive(WORKER), seconds=_TIMEOUT_SECONDS)
        folder = home.settings.home.parent / "files"
        folder.mkdir()
        files = tiny_recordings(folder, 2 * uploads)
        yield measure(home, "added", add, files[:uploads])
        yield measure(home, "dropped", drop, files[uploads:])


def _started_at(home: Home, recording: Recording) -> float:
    """Return when the first step over the recording began, in seconds of the clock."""
    runs = home.instance.get_runs(dg.RunsFilter(tags={PARTITION_NAME_TAG: recording.partition_key}))
    start_times = [
        step.start_time for run in runs for step in home.instance.get_run_step_stats(run.run_id)
    ]
    return min(start for start in start_times if start is not None)


def _ready_at(home: Home, recording: Recording) -> float:
    finish_times = [
        row["finished_at"].timestamp() for row in home.services.pipeline.results.lineage(recording)
    ]
    return float(max(finish_times))


def _ids(home: Home) -> set[str]:
    return {status.id for status in home.services.pipeline.recordings.statuses(home.settings.org)}


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent do not exceed."""
    place = -(-len(values) * percent // 100) - 1
    return round(sorted(values)[place], 3)


@click.command()
@click.option("--uploads", type=click.IntRange(min=2), default=50, show_default=True)
@json_option
def main(uploads: int, as_json: bool) -> None:
    """Measure UPLOADS single recordings each way."""
    print_rows(rows(uploads), as_json=as_json)


if __name__ == "__main__":
    main()
