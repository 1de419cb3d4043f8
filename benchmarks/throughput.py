"""Recordings an hour where transcribing and embedding take no time: the cost of the rest.

    python -m benchmarks.throughput [--few 20] [--many 400] [--json]

Four ways, each in a home of its own with the ``instant`` engines, over distinct tiny WAV files:

- ``daemon, one by one``: a file is put in ``dagster dev``'s inbox when the one before is ready
- ``watch, one by one``: the same with a warm ``playhead process --watch`` and no inbox
- ``daemon, at once``: all files are put in the inbox at once
- ``process, at once``: all files are added, then ``playhead process``

Time runs from the first file given (``process``: from its start) to all ready. CPU seconds are
those of every process started, that of Postgres apart; start-up of the daemon and of the warm
worker are not in them.
"""

from __future__ import annotations

import os
import struct
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.homes import Home, Spent, json_option, print_rows, spent, temporary_home, wait_until

_RATE = 16_000  # Hz
_PATIENCE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Row:
    """One way, measured. CPU in seconds a recording."""

    way: str
    recordings: int
    runs: int
    wall_seconds: float
    recordings_an_hour: float
    cpu_seconds: float
    postgres_cpu_seconds: float
    load_average: float


def tiny_recordings(folder: Path, count: int) -> list[Path]:
    """Files of a tenth of a second, no two alike."""
    return [_tiny(folder / f"recording-{number:04}.wav", number) for number in range(count)]


def _tiny(path: Path, number: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        file.writeframes(struct.pack("<i", number) * (_RATE // 20))
    return path


def daemon_one_by_one(home: Home, files: list[Path]) -> Spent:
    with home.dagster():
        before = spent(home)
        for file in files:
            file.rename(home.inbox / file.name)
            wait_until(lambda: home.idle, seconds=_PATIENCE_SECONDS, every=0.2)
        return spent(home) - before


def daemon_at_once(home: Home, files: list[Path]) -> Spent:
    with home.dagster():
        before = spent(home)
        for file in files:
            file.rename(home.inbox / file.name)
        wait_until(lambda: home.idle, seconds=_PATIENCE_SECONDS)
        return spent(home) - before


def watch_one_by_one(home: Home, files: list[Path]) -> Spent:
    with home.running("playhead", "process", "--watch"):
        _take_through(home, _tiny(files[0].with_name("first.wav"), -1))  # then it is warm
        before = spent(home)
        for file in files:
            _take_through(home, file)
        return spent(home) - before


def _take_through(home: Home, file: Path) -> None:
    home.bench.intake.take_in(file, org_id=home.settings.org)
    wait_until(lambda: home.idle, seconds=_PATIENCE_SECONDS, every=0.05)


def process_at_once(home: Home, files: list[Path]) -> Spent:
    home.run("playhead", "add", *map(str, files))
    before = spent(home)
    home.run("playhead", "process")
    return spent(home) - before


def measure(way: str, run: Callable[[Home, list[Path]], Spent], count: int) -> Row:
    with temporary_home(transcriber="instant", embedder="instant") as home:
        folder = home.settings.home.parent / "files"
        folder.mkdir()
        cost = run(home, tiny_recordings(folder, count))
        return Row(
            way=way,
            recordings=count,
            runs=cost.runs,
            wall_seconds=round(cost.wall, 1),
            recordings_an_hour=round(3600 * count / cost.wall),
            cpu_seconds=round(cost.ours / count, 3),
            postgres_cpu_seconds=round(cost.postgres / count, 3),
            load_average=round(os.getloadavg()[0], 1),
        )


def rows(few: int, many: int) -> Iterator[Row]:
    yield measure("process, at once", process_at_once, many)
    yield measure("watch, one by one", watch_one_by_one, few)
    yield measure("daemon, at once", daemon_at_once, many)
    yield measure("daemon, one by one", daemon_one_by_one, few)


@click.command()
@click.option("--few", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--many", type=click.IntRange(min=1), default=400, show_default=True)
@json_option
def main(few: int, many: int, as_json: bool) -> None:
    """FEW recordings one by one, MANY at once."""
    print_rows(rows(few, many), as_json=as_json)


if __name__ == "__main__":
    main()
