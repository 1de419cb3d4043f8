"""Files of every kind at once in the inbox, with run workers killed at random.

    python -m benchmarks.mixed_inbox [--count 200] [--kills 10] [--transcriber stub] [--json]

The files (``samples.py``) go into a fresh inbox under ``dagster dev``. At the end every good
recording must be ready and every bad one failed with its own reason, none missing, none twice, no
file lost, however often the run worker is killed -9. The exit code is 1 if anything is otherwise,
each complaint on a line; ``--keep-log FILE`` stores Dagster's output.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import dagster as dg
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.environments import Home, json_option, temporary_home
from benchmarks.samples import SORTS, Sample, make_samples
from playhead.core.records import STAGES, Recording

_TIMEOUT_SECONDS = 3600.0
_POLL_SECONDS = 0.25
_MAX_LIFE_SECONDS = 30.0  # of a worker that is to be killed
_FINISHED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one kind of files. ``recordings``: of different bytes."""

    sort: str
    files: int
    recordings: int
    ready: int
    failed: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of the whole trial."""

    files: int
    kills: int
    runs: int
    wall_seconds: float
    seed: int
    complaints: list[str]


class Killer:
    """Kills -9 run workers, each at a random moment of its life, ``kills`` in all."""

    def __init__(self, dagster: psutil.Process, kills: int, seed: int) -> None:
        self.killed = 0
        self._dagster = dagster
        self._kills = kills
        self._rng = random.Random(seed)
        self._kill_times: dict[int, float] = {}

    def kill_due(self) -> None:
        """Kill the workers whose time has come."""
        for worker in run_workers(self._dagster):
            kill_time = self._kill_times.setdefault(worker.pid, self._draw_kill_time())
            if self.killed < self._kills and time.monotonic() >= kill_time:
                worker.kill()
                self.killed += 1

    def _draw_kill_time(self) -> float:
        return time.monotonic() + self._rng.uniform(0, _MAX_LIFE_SECONDS)


class ResultChecker:
    """Compares the installation with the given files."""

    def __init__(self, home: Home, samples: Sequence[Sample], *, transcribes: bool) -> None:
        self._home = home
        self._transcribes = transcribes
        self._samples = {sample.sha256: sample for sample in reversed(samples)}
        self._statuses = {
            status.id: status
            for status in home.services.pipeline.recordings.statuses(home.settings.org)
        }
        self._reported = {
            stage: home.instance.get_materialized_partitions(dg.AssetKey(stage)) for stage in STAGES
        }
        self._complaints = {sample.sha256: list(self._check(sample)) for sample in samples}

    def complaints(self) -> Iterator[str]:
        """Yield a sentence for each problem."""
        if len(self._statuses) != len(self._samples):
            yield f"{len(self._statuses)} recordings of {len(self._samples)} different files"
        yield from (f"left in the inbox: {path.name!r}" for path in self._home.inbox.iterdir())
        for sha256, complaints in self._complaints.items():
            name = self._samples[sha256].path.name
            yield from (f"{name!r} {complaint}" for complaint in complaints)

    def row(self, sort: str, samples: Sequence[Sample]) -> Row:
        hashes = {sample.sha256 for sample in samples}
        found = [self._recording(sha256) for sha256 in hashes]
        final_states = [self._statuses[recording.id].status for recording in found if recording]
        wrong = sum(bool(self._complaints[sha256]) for sha256 in hashes)
        ready, failed = final_states.count("ready"), final_states.count("failed")
        return Row(sort, len(samples), len(hashes), ready, failed, wrong)

    def _check(self, sample: Sample) -> Iterator[str]:
        recording = self._recording(sample.sha256)
        if recording is None:
            yield "is missing"
            return
        with self._home.services.files.media.open_local(recording) as path:
            stored = hashlib.sha256(path.read_bytes())
        if stored.hexdigest() != sample.sha256:
            yield "is not stored as it was"
        if sample.reason is None:
            yield from self._check_good(sample, recording)
        else:
            yield from self._check_bad(sample.reason, recording)

    def _check_good(self, sample: Sample, recording: Recording) -> Iterator[str]:
        status = self._statuses[recording.id]
        if status.status != "ready":
            yield f"is {status.status}, not ready: {status.error}"
            return
        rows = self._home.services.pipeline.results.lineage(recording)
        if tuple(row["stage"] for row in rows) != STAGES:
            yield f"has the results {[row['stage'] for row in rows]}"
        missing = [
            stage for stage, ids in self._reported.items() if recording.partition_key not in ids
        ]
        if missing:
            yield f"is not materialised in Dagster at {missing}"
        words = self._home.services.pipeline.content.transcript(
            recording, rows[1]["result_id"]
        ).words
        if self._transcribes and bool(words) != sample.spoken:
            yield f"has {len(words)} words"

    def _check_bad(self, reason: str, recording: Recording) -> Iterator[str]:
        status = self._statuses[recording.id]
        error = status.error or {}
        found = (status.status, error.get("stage"), error.get("class"))
        if found != ("failed", "raw_media", reason):
            yield f"should fail with {reason}, but: {found}"
        if reported := [
            stage for stage, ids in self._reported.items() if recording.partition_key in ids
        ]:
            yield f"is materialised in Dagster at {reported}"

    def _recording(self, sha256: str) -> Recording | None:
        return self._home.services.pipeline.recordings.with_bytes(self._home.settings.org, sha256)


def run_workers(dagster: psutil.Process) -> list[psutil.Process]:
    """Return the processes of Dagster's default launcher, one per run."""
    found = []
    for process in dagster.children(recursive=True):
        try:
            if "multiprocessing.spawn" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def drop(home: Home, samples: Sequence[Sample]) -> None:
    """Copy all files into the inbox as a person does: in place, one after the other."""
    for sample in samples:
        (home.inbox / sample.path.name).write_bytes(sample.path.read_bytes())


def settle(home: Home, killer: Killer) -> None:
    """Wait, killing workers, until no recording is pending and no run unfinished.

    It gives up after a time; the checker then reports the missing results.
    """
    unfinished = dg.RunsFilter(
        statuses=[status for status in dg.DagsterRunStatus if status not in _FINISHED]
    )
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if home.idle and not home.instance.get_runs_count(unfinished):
            return
        killer.kill_due()
        time.sleep(_POLL_SECONDS)


def trial(home: Home, count: int, kills: int, seed: int) -> tuple[Trial, list[Row]]:
    folder = home.settings.home.parent / "samples"
    folder.mkdir()
    samples = make_samples(folder, count)
    with home.dagster() as dagster:
        start = time.monotonic()
        killer = Killer(dagster, kills, seed)
        drop(home, samples)
        settle(home, killer)
        seconds = time.monotonic() - start
    checker = ResultChecker(home, samples, transcribes=home.settings.transcriber != "stub")
    complaints = list(checker.complaints())
    if killer.killed < kills:
        complaints.append(f"only {killer.killed} of {kills} kills found a worker")
    rows = [
        checker.row(sort, [sample for sample in samples if sample.sort == sort]) for sort in SORTS
    ]
    runs = home.instance.get_runs_count()
    return Trial(len(samples), killer.killed, runs, round(seconds, 1), seed, complaints), rows


def report(trial: Trial, rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            click.echo(json.dumps(asdict(row)))
        click.echo(json.dumps(asdict(trial)))
        return
    table = Table(*Row.__dataclass_fields__)
    for row in rows:
        table.add_row(*map(str, asdict(row).values()))
    Console().print(table)
    click.echo(
        f"{trial.files} files, {trial.kills} kills, {trial.runs} runs, {trial.wall_seconds} s, "
        f"seed {trial.seed}, {len(trial.complaints)} complaints"
    )
    for complaint in trial.complaints:
        click.echo(f"- {complaint}")


@click.command()
@click.option("--count", type=click.IntRange(min=10), default=200, show_default=True)
@click.option("--kills", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--seed", type=int, help="Of the times of the kills. [default: random]")
@click.option("--transcriber", default="whisper-tiny.en", show_default=True)
@click.option("--keep-log", type=click.Path(path_type=Path), help="Where to keep Dagster's log.")
@json_option
def main(
    count: int, kills: int, seed: int | None, transcriber: str, keep_log: Path | None, as_json: bool
) -> None:
    """Drop COUNT mixed files at once; kill the run worker KILLS times meanwhile."""
    seed = random.randrange(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    with temporary_home(transcriber=transcriber) as home:
        result, rows = trial(home, count, kills, seed)
        if keep_log:
            keep_log.write_bytes(home.log.read_bytes())
    report(result, rows, as_json=as_json)
    sys.exit(1 if result.complaints else 0)


if __name__ == "__main__":
    main()
