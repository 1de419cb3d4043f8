"""Files that mean harm, through Playhead's eyes and ears: what they reach, what they cost.

    python -m benchmarks.hostile [--mutations 2000] [--seed 4] [--json]

Lists that point at a canary file and a canary port, bombs, absurd headers, and files bent by a
seeded dice are probed and decoded. Exit code 1 when the canary was touched, a bomb was not called
one, or anything came of a file but facts, sound, or an error of the recording. The seconds and the
memory are those of the processes sandbox, and of this one.
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

_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Row:
    """What became of files of a sort. ``errors``: how many had which."""

    sort: str
    files: int
    seconds: float
    longest_seconds: float
    peak_inside_mib: int
    peak_here_mib: int
    facts: int
    errors: dict[str, int]
    wrong: list[str]


@dataclass(slots=True)
class Tally:
    """What came of the files of a sort so far. ``bombs``: nothing else may."""

    bombs: bool = False
    files: int = 0
    longest: float = 0.0
    facts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, name: str, path: Path) -> None:
        begin = time.monotonic()
        self.files += 1
        self._try(name, lambda: probe(path))
        self._try(name, lambda: sum(map(len, decode(path))))
        self.longest = max(self.longest, time.monotonic() - begin)

    def _try(self, name: str, look: Callable[[], object]) -> None:
        try:
            look()
            self.facts += 1
            if self.bombs:
                self.wrong.append(f"{name} passed")
        except PermanentError as error:
            self.errors[type(error).__name__] += 1
            if self.bombs and not isinstance(error, DecodingTooCostly):
                self.wrong.append(f"{name}: {type(error).__name__}")
        except Exception as error:  # whatever else it is, it is what we look for
            self.wrong.append(f"{name}: {error!r}")


class MemoryWatcher:
    """The memory of the processes sandbox, at its peak, looked at again and again."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._over = threading.Event()

    @contextmanager
    def watch(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        here = psutil.Process()
        while not self._over.wait(_LOOK_SECONDS):
            with suppress(psutil.Error):
                for process in here.children(recursive=True):
                    self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)


def check_files(sort: str, files: Iterable[tuple[str, Path]], *, bombs: bool = False) -> Row:
    tally, watch, begin = Tally(bombs), MemoryWatcher(), time.monotonic()
    with watch.watch():
        for name, path in files:
            tally.check(name, path)
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # of KiB
    return Row(
        sort,
        tally.files,
        round(time.monotonic() - begin, 1),
        round(tally.longest, 2),
        watch.peak_bytes >> 20,
        here,
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
    """Probe and decode files that mean harm."""
    around = sandbox.restrictions()
    click.echo(f"walls: {', '.join(around.active)}", err=True)
    click.echo(f"missing: {', '.join(around.missing) or 'none'}", err=True)
    with tempfile.TemporaryDirectory() as folder:
        found = list(rows(Path(folder), mutations, seed))
    print_rows(found, as_json=as_json)
    sys.exit(1 if any(row.wrong for row in found) else 0)


if __name__ == "__main__":
    main()
