"""Two hundred files of every sort at once in the inbox, and what became of each.

    python -m benchmarks.mixed_inbox [--count 200] [--kills 10] [--transcriber instant] [--json]

Good clips in eight containers, silence, cut-off files, text called .mp4, video without sound,
empty files, exact copies and hostile names go into a fresh inbox under Dagster's daemon. With
``--kills`` the run worker is killed -9 that many times at random moments. In the end every good
recording must be ready and every bad one failed with its own reason, none missing, none twice,
no file lost. Exit code 1 when anything is otherwise; each complaint is printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import click
import dagster as dg
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.homes import Home, json_option, temporary_home, wait_until
from resources.postgres.catalogue import Status
from resources.records import STAGES, Recording
from tests import media

_PATIENCE_SECONDS = 3600.0
_LOOK_SECONDS = 0.25
_KILL_PAUSE_SECONDS = (0.0, 15.0)  # between the last kill and the next, at random
_CLIPS = ("en_jfk", "en_austen_0870", "en_austen_0890", "en_austen_0920", "en_austen_0930")
_CONTAINERS = (".wav", ".flac", ".mp3", ".ogg", ".webm", ".mp4", ".m4a", ".mov")
_CUT_OFF = (".flac", ".m4a", ".mov", ".mp3", ".mp4", ".wav", ".webm")
_VIDEOS = (".mp4", ".mov", ".webm")

#: How many in a hundred files are of each sort.
_MIX = {
    "good": 60,
    "silent": 5,
    "cut off": 8,
    "text": 5,
    "no sound track": 3,
    "no sample": 2,
    "zero bytes": 4,
    "copy": 8,
    "hostile name": 5,
}

#: The sorts that must fail, and how. The others must become ready.
_REASONS = {
    "cut off": "TruncatedMedia",
    "text": "UnreadableMedia",
    "no sound track": "NoAudioTrack",
    "no sample": "EmptyFile",
    "zero bytes": "EmptyFile",
}

_HOSTILE = (
    "-rf",
    "--help",
    "; drop table recordings; --",
    "$(reboot) `reboot`",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..",
    "two\nlines\r\tand a tab",
    "quotes ' \" and \\ backslash",
    "🎙️ 録音 تسجيل \u202egnp",
    "%s%n%00 {0} {{x}}",
    "<script>alert(1)</script>".replace("/", "\u2215"),
    "[...],*?key=1,2",
    b"not \xff\xfe UTF-8".decode("utf-8", "surrogateescape"),
    "n" * 250,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A file made for the inbox and what it is."""

    path: Path
    sort: str
    sha256: str

    @property
    def reason(self) -> str | None:
        return _REASONS.get(self.sort)


@dataclass(frozen=True, slots=True)
class Row:
    """One sort of files, and how many recordings of it ended how."""

    sort: str
    files: int
    recordings: int
    ready: int
    failed: int
    as_expected: int


def make_samples(folder: Path, count: int) -> list[Sample]:
    """About ``count`` files, at least one of each sort; copies are of good files."""
    made: list[Sample] = []
    for sort, share in _MIX.items():
        for number in range(max(1, round(count * share / 100))):
            path = folder / f"{sort} {number:03}"
            path = _copy(path, made[number].path) if sort == "copy" else _make(path, sort, number)
            made.append(Sample(path, sort, hashlib.sha256(path.read_bytes()).hexdigest()))
    return made


def _make(path: Path, sort: str, number: int) -> Path:
    match sort:
        case "good":
            return _clip(path, number)
        case "silent":
            return media.make_silence(path.with_suffix(_CONTAINERS[number % 8]), 2 + number)
        case "cut off":
            suffix = _CUT_OFF[number % len(_CUT_OFF)]
            return media.truncate(media.make_audio(path.with_suffix(suffix), _sound(number)))
        case "text":
            path = path.with_suffix(".mp4")
            path.write_text(f"Minutes of meeting {number}\n" * 50)
        case "no sound track":
            path = path.with_suffix(_VIDEOS[number % len(_VIDEOS)])
            return media.make_video_without_audio(path, 1 + number)
        case "no sample":
            path = path.with_suffix(".wav")
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 8000 + number, 0, "NONE", ""))
        case "zero bytes":
            path = path.with_suffix(".mp3")
            path.touch()
        case "hostile name":
            name = f"{_HOSTILE[number % len(_HOSTILE)]}{number // len(_HOSTILE) or ''}"
            made = media.make_audio(path.with_suffix(".flac"), _sound(1000 + number))
            return made.rename(path.with_name(f"{name}.flac" if name[0] != "." else f"a{name}"))
    return path


def _clip(path: Path, number: int) -> Path:
    """Every container in turn, and with each its turn of clips; some are videos."""
    suffix = _CONTAINERS[number % len(_CONTAINERS)]
    video = suffix in _VIDEOS and number % 3 == 0
    make = media.make_video if video else media.make_audio
    return make(path.with_suffix(suffix), _sound(number))


def _sound(number: int) -> media.Sound:
    """Speech, with a silence of its own at the end."""
    spoken = media.speech(_CLIPS[number % len(_CLIPS)])
    return np.concatenate([spoken, media.silence(0.1 + number / 200)])


def _copy(path: Path, original: Path) -> Path:
    path = path.with_suffix(original.suffix)
    path.write_bytes(original.read_bytes())
    return path


class Killer:
    """Kills -9 a run worker at random moments, ``kills`` times in all."""

    def __init__(self, daemon: psutil.Process, kills: int, dice: random.Random) -> None:
        self.killed = 0
        self._daemon = daemon
        self._left = kills
        self._dice = dice
        self._next = time.monotonic() + dice.uniform(*_KILL_PAUSE_SECONDS)

    def strike(self) -> None:
        """When it is time, and somebody works."""
        if not self._left or time.monotonic() < self._next:
            return
        if workers := run_workers(self._daemon):
            self._dice.choice(workers).kill()
            self.killed += 1
            self._left -= 1
            self._next = time.monotonic() + self._dice.uniform(*_KILL_PAUSE_SECONDS)


def run_workers(daemon: psutil.Process) -> list[psutil.Process]:
    """The processes that Dagster's default launcher makes, one a run, under the code server."""
    found = []
    for process in daemon.children(recursive=True):
        try:
            if "multiprocessing.spawn" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def settled(home: Home) -> bool:
    """Whether nothing waits and no run is left unfinished."""
    unfinished = dg.RunsFilter(statuses=list(dg_unfinished()))
    return home.idle and not home.instance.get_runs_count(unfinished)


def dg_unfinished() -> Iterator[dg.DagsterRunStatus]:
    for status in dg.DagsterRunStatus:
        if status.value not in {"SUCCESS", "FAILURE", "CANCELED"}:
            yield status


class Judge:
    """Compares what there is with what was given."""

    def __init__(self, home: Home, samples: Sequence[Sample], *, hears: bool) -> None:
        self._home = home
        self._samples = samples
        self._hears = hears
        bench = home.bench
        statuses = bench.catalogue.statuses(home.settings.org)
        self._statuses = {status.id: status for status in statuses}

    def complaints(self) -> Iterator[str]:
        """What is not as it should be, a sentence each."""
        distinct = {sample.sha256 for sample in self._samples}
        if len(self._statuses) != len(distinct):
            yield f"{len(self._statuses)} recordings of {len(distinct)} different files"
        yield from (f"left in the inbox: {path.name!r}" for path in self._home.inbox.iterdir())
        for sample in {sample.sha256: sample for sample in reversed(self._samples)}.values():
            recording = self._recording(sample)
            if recording is None:
                yield f"{sample.path.name!r} is missing"
                continue
            yield from (f"{sample.path.name!r}: {what}" for what in self._of(sample, recording))
        yield from self._unseen()

    def rows(self) -> Iterator[Row]:
        for sort, files in Counter(sample.sort for sample in self._samples).items():
            samples = {item.sha256: item for item in self._samples if item.sort == sort}
            ends = [self._status(sample) for sample in samples.values()]
            yield Row(
                sort,
                files,
                len(samples),
                sum(end.status == "ready" for end in ends),
                sum(end.status == "failed" for end in ends),
                sum(
                    not list(self._of(sample, self._recording(sample)))
                    for sample in samples.values()
                ),
            )
