"""Hostile files, read by Playhead: what they reach and what they cost.

    python -m benchmarks.hostile [--mutations 2000] [--seed 4] [--json]

Playlists that point at a canary file and a canary port, bombs, absurd headers, and files mutated
with a seeded random generator are probed and decoded. The exit code is 1 if the canary was touched,
a bomb was not rejected as such, or a file gave anything but facts, sound, or an error of the
recording. Seconds and memory are those of the sandboxed processes and of this one.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from benchmarks.environments import json_option, print_rows
from playhead.core.errors import DecodingTooCostly, PermanentError
from playhead.media import sandbox
from playhead.media.decode import decode
from playhead.media.probe import probe
from tests.support import hostile_files
from tests.support.sandbox_probe import watch_tripwire

_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Row:
    """The results for one kind of files. ``errors``: counts by class."""

    sort: str
    files: int
    seconds: float
    max_seconds: float
    peak_inside_mib: int
    peak_here_mib: int
    facts: int
    errors: dict[str, int]
    wrong: list[str]


@dataclass(slots=True)
class Tally:
    """The results of one kind of files so far. With ``bombs`` every file must be rejected as a
    bomb."""

    bombs: bool = False
    files: int = 0
    maximum: float = 0.0
    facts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, name: str, path: Path) -> None:
        begin = time.monotonic()
        self.files += 1
        self._try(name, lambda: probe(path))
        self._try(name, lambda: sum(map(len, decode(path))))
        self.maximum = max(self.maximum, time.monotonic() - begin)

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
            self.facts += 1
            if self.bombs:
                self.wrong.append(f"{name} passed")
        except PermanentError as error:
            self.errors[type(error).__name__] += 1
            if self.bombs and not isinstance(error, DecodingTooCostly):
                self.wrong.append(f"{name}: {type(error).__name__}")
        except Exception as error:  # any other error is a finding
            self.wrong.append(f"{name}: {error!r}")


class MemoryWatcher:
    """The peak memory of the sandboxed processes, sampled."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()

    @contextmanager
    def watch(self) -> Iterator[None]:
        thread = threading.Thread(target=self._poll)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _poll(self) -> None:
        own_process = psutil.Process()
        while not self._stop.wait(_POLL_SECONDS):
            with suppress(psutil.Error):
                for process in own_process.children(recursive=True):
                    self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)


def check_files(sort: str, files: Iterable[tuple[str, Path]], *, bombs: bool = False) -> Row:
    tally, watch, begin = Tally(bombs), MemoryWatcher(), time.monotonic()
    with watch.watch():
        for name, path in files:
            tally.check(name, path)
    own_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # of KiB
    return Row(
        sort,
        tally.files,
        round(time.monotonic() - begin, 1),
        round(tally.maximum, 2),
        watch.peak_bytes >> 20,
        own_process,
        tally.facts,
        dict(tally.errors),
        tally.wrong,
    )


def check_playlists(folder: Path) -> Row:
    with watch_tripwire(folder) as canary:
        row = check_files(
            "lists", _write_files(folder, hostile_files.playlist_files(canary.path, canary.url))
        )
        opened, called = canary.count_accesses()
    if opened or called:
        row.wrong.append(f"the canary was read {opened} times, its port called {called} times")
    return row


def _write_files(folder: Path, contents: dict[str, bytes]) -> Iterator[tuple[str, Path]]:
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content)
        yield name, path


def _make_files(folder: Path, makers: dict[str, hostile_files.Maker]) -> Iterator[tuple[str, Path]]:
    for name, make in makers.items():
        path = make(folder)
        yield name, path
        path.unlink()


def _mutate_files(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    for number, path in enumerate(hostile_files.mutated_files(folder, count, seed=seed)):
        yield f"{path.name} {number}", path


def rows(folder: Path, mutations: int, seed: int) -> Iterator[Row]:
    yield check_playlists(folder)
    yield check_files("bombs", _make_files(folder, hostile_files.BOMBS), bombs=True)
    yield check_files("slow bombs", _make_files(folder, hostile_files.SLOW_BOMBS), bombs=True)
    yield check_files("absurd headers", _make_files(folder, hostile_files.ABSURD))
    yield check_files("mutations", _mutate_files(folder, mutations, seed))


@click.command()
@click.option("--mutations", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--seed", default=4, show_default=True)
@json_option
def main(mutations: int, seed: int, as_json: bool) -> None:
    """Probe and decode hostile files."""
    limits = sandbox.restrictions()
    click.echo(f"restrictions: {', '.join(limits.active)}", err=True)
    click.echo(f"missing: {', '.join(limits.missing) or 'none'}", err=True)
    with tempfile.TemporaryDirectory() as folder:
        found = list(rows(Path(folder), mutations, seed))
    print_rows(found, as_json=as_json)
    sys.exit(1 if any(row.wrong for row in found) else 0)


if __name__ == "__main__":
    main()
