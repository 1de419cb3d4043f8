"""Recordings per hour if transcribing and embedding take no time: the cost of the rest.

    python -m benchmarks.throughput [--few 20] [--many 400] [--json]
    python -m benchmarks.throughput --present 1000 --present 100000 --many 1000 --plot FILE.svg

With the ``stub`` engines, over distinct tiny WAV files, in a home of their own each:

- ``daemon, one by one``: a file is put in ``dagster dev``'s inbox when the previous one is ready
- ``watch, one by one``: a file is added when the previous one is ready, to a warm worker
- ``daemon, at once``: all files are put in the inbox at once
- ``process, at once``: all files are added, then ``playhead process``

With ``--present``, the second and the fourth, where so many recordings are present already (seeded
and reported to Dagster). Time runs from the first file (``process``: from its start) until all are
ready. CPU seconds are those of every process started, without Postgres, which is listed apart;
sessions are those opened at the databases. The start of daemon and warm worker, and seeding, are
not included.
"""

from __future__ import annotations

import os
import random
import tempfile
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import seeding
from benchmarks.charts import chart
from benchmarks.environments import (
    Cost,
    Home,
    json_option,
    measure_cost,
    print_rows,
    temporary_home,
    wait_until,
)
from pipeline_assets.maintenance.missing_events import report_missing_events

_RATE = 16_000  # Hz
_TIMEOUT_SECONDS = 1800.0
_SENTENCES = 2

Way = Callable[[Home, list[Path]], Cost]


@dataclass(frozen=True, slots=True)
class Row:
    """One way, measured. CPU seconds and sessions per recording."""

    way: str
    present: int
    recordings: int
    runs: int
    wall_seconds: float
    recordings_an_hour: float
    cpu_seconds: float
    postgres_cpu_seconds: float
    sessions: float
    load_average: float


def tiny_recordings(folder: Path, count: int) -> list[Path]:
    """Write files of a tenth of a second, all different."""
    start = random.randrange(1 << 30)  # so that no two calls give the same bytes
    return [_tiny(folder / f"recording-{number:04}.wav", start + number) for number in range(count)]


def _tiny(path: Path, number: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        # Noise: a repeated number once was read as damaged media, in one of some thousand files.
        file.writeframes(random.Random(number).randbytes(_RATE // 5))
    return path


def daemon_one_by_one(home: Home, files: list[Path]) -> Cost:
    with home.dagster():
        before = measure_cost(home)
        for file in files:
            file.rename(home.inbox / file.name)
            wait_until(lambda: home.idle, seconds=_TIMEOUT_SECONDS, every=0.2)
        return measure_cost(home) - before


def daemon_at_once(home: Home, files: list[Path]) -> Cost:
    with home.dagster():
        before = measure_cost(home)
        for file in files:
            file.rename(home.inbox / file.name)
        wait_until(lambda: home.idle, seconds=_TIMEOUT_SECONDS)
        return measure_cost(home) - before


def watch_one_by_one(home: Home, files: list[Path]) -> Cost:
    with home.running("playhead", "process", "--watch"):
        warm_up = _tiny(files[0].with_name("first.wav"), -random.randrange(1 << 30))
        _process_one(home, warm_up)
        before = measure_cost(home)
        for file in files:
            _process_one(home, file)
        return measure_cost(home) - before


def _process_one(home: Home, file: Path) -> None:
    home.services.ingest.add(file, org_id=home.settings.org)
    wait_until(lambda: home.idle, seconds=_TIMEOUT_SECONDS, every=0.05)


def process_at_once(home: Home, files: list[Path]) -> Cost:
    home.run("playhead", "add", *map(str, files))
    before = measure_cost(home)
    home.run("playhead", "process")
    return measure_cost(home) - before


def measure(way: str, run: Way, home: Home, count: int, present: int) -> Row:
    folder = Path(tempfile.mkdtemp(dir=home.settings.home.parent))
    cost = run(home, tiny_recordings(folder, count))
    return Row(
        way=way,
        present=present,
        recordings=count,
        runs=cost.runs,
        wall_seconds=round(cost.wall, 1),
        recordings_an_hour=round(3600 * count / cost.wall),
        cpu_seconds=round(cost.programs / count, 3),
        postgres_cpu_seconds=round(cost.postgres / count, 3),
        sessions=round(cost.sessions / count, 2),
        load_average=round(os.getloadavg()[0], 1),
    )


def rows(few: int, many: int) -> Iterator[Row]:
    ways: list[tuple[str, Way, int]] = [
        ("process, at once", process_at_once, many),
        ("watch, one by one", watch_one_by_one, few),
        ("daemon, at once", daemon_at_once, many),
        ("daemon, one by one", daemon_one_by_one, few),
    ]
    for way, run, count in ways:
        with temporary_home(transcriber="stub", embedder="stub") as home:
            yield measure(way, run, home, count, 0)


def measure_among(present: int, few: int, many: int) -> Iterator[Row]:
    """Yield rows where ``present`` recordings exist already."""
    engines = {"transcriber": "stub", "embedder": "stub"}
    with temporary_home(**engines, chunking=seeding.CHUNKING) as home:
        seeding.seed(home.services, home.instance, present, _SENTENCES)
        report_missing_events(home.instance, home.services.pipeline.audit)
        yield measure("watch, one by one", watch_one_by_one, home, few, present)
        yield measure("process, at once", process_at_once, home, many, present)


@click.command()
@click.option("--few", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--many", type=click.IntRange(min=1), default=400, show_default=True)
@click.option("--present", type=click.IntRange(min=1), multiple=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Where to draw it, as SVG.")
@json_option
def main(few: int, many: int, present: tuple[int, ...], plot: Path | None, as_json: bool) -> None:
    """Process FEW recordings one by one and MANY at once, among so many PRESENT."""
    measured: list[Row] = []

    def collect(measured_rows: Iterable[Row]) -> Iterator[Row]:
        for row in measured_rows:
            measured.append(row)
            yield row

    rows_among = (row for count in present for row in measure_among(count, few, many))
    print_rows(collect(rows_among if present else rows(few, many)), as_json=as_json)
    if plot:
        plot.write_text(draw(measured))


def draw(measured: Sequence[Row]) -> str:
    ways = sorted({row.way for row in measured})
    rows_by_way = {way: [row for row in measured if row.way == way] for way in ways}
    return chart(
        "recordings present",
        {
            "recordings per hour": {
                way: [(row.present, row.recordings_an_hour) for row in measured_rows]
                for way, measured_rows in rows_by_way.items()
            },
            "CPU seconds per recording, with Postgres": {
                way: [
                    (row.present, row.cpu_seconds + row.postgres_cpu_seconds)
                    for row in measured_rows
                ]
                for way, measured_rows in rows_by_way.items()
            },
        },
    )


if __name__ == "__main__":
    main()
