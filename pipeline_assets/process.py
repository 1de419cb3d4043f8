"""``python -m pipeline_assets.process``: run what waits through Dagster, in this process.

The way to work without a daemon: the same job, the same ledger, one warm process. Beside a
running daemon it is safe, since the ledger lets one worker at a time make a result. Started by
``playhead process``; like ``definitions.py`` it is a way in, so nobody imports it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import click
import dagster as dg

from pipeline_assets.definitions import build_definitions
from pipeline_assets.jobs import INGEST_RECORDING
from pipeline_assets.orphans import fail_orphans
from pipeline_assets.partitions import recordings_partitions
from pipeline_assets.policies import RECORDINGS_A_RUN
from pipeline_assets.requests import RunPlan, new_keys, plan_runs
from resources.errors import PlayheadError
from resources.postgres.catalogue import Catalogue
from resources.records import Recording
from resources.settings import load_settings
from resources.workbench import Rooms, open_rooms

_WATCH_SECONDS = 1.0
_TELL_SECONDS = 0.5
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Processor:
    """Plans and makes runs. ``handled``: what ``work`` took up, by id."""

    def __init__(
        self,
        rooms: Rooms,
        instance: dg.DagsterInstance,
        job: dg.JobDefinition,
        stopping: threading.Event,
    ) -> None:
        self.handled: set[str] = set()
        self._rooms = rooms
        self._instance = instance
        self._job = job
        self._stopping = stopping

    def work(self, only: Sequence[str] | None) -> None:
        """Run every waiting recording once; of ``only``, also see those through that another
        worker holds."""
        while (waiting := self._waiting(only)) or self._elsewhere(only):
            self.handled.update(recording.id for recording in waiting)
            self._work_on(waiting)

    def watch(self) -> None:
        """Work whenever something waits, until told to stop; what a run brought no further is
        tried again after the same growing pauses as the sensor makes."""
        while not self._stopping.wait(_WATCH_SECONDS):
            catalogue = self._rooms.catalogue
            while waiting := catalogue.waiting(limit=RECORDINGS_A_RUN, unrequested=True):
                self._work_on(waiting)
                if self._stopping.is_set():
                    return

    def _work_on(self, waiting: Sequence[Recording]) -> None:
        self._rooms.ledger.bury_lost()
        fail_orphans(self._instance, self._rooms.ledger)
        for plan in self._plans(waiting):
            self._run(plan)

    def _waiting(self, only: Sequence[str] | None) -> list[Recording]:
        if self._stopping.is_set():
            return []
        return self._rooms.catalogue.waiting(
            limit=RECORDINGS_A_RUN, only=only, besides=self.handled
        )

    def _elsewhere(self, only: Sequence[str] | None) -> bool:
        """Whether to look again in a while, since another worker is at it."""
        if only is None or self._stopping.is_set():
            return False
        statuses = self._rooms.catalogue.statuses(None, only)
        busy = any(status.live for status in statuses)
        return busy and not self._stopping.wait(_WATCH_SECONDS)

    def _plans(self, waiting: Sequence[Recording]) -> Iterator[RunPlan]:
        name = recordings_partitions.name
        assert name is not None
        keys = self._instance.get_dynamic_partitions(name)
        if added := new_keys(waiting, keys):
            self._instance.add_dynamic_partitions(name, added)
        for plan in plan_runs(waiting, [*keys, *added]):
            if self._stopping.is_set():
                return
            yield plan

    def _run(self, plan: RunPlan) -> None:
        self._rooms.catalogue.requested(plan.ids)
        self._job.execute_in_process(
            instance=self._instance,
            tags=dict(plan.tags),
            run_config=plan.run_config | _QUIET,
            asset_selection=plan.assets,
            raise_on_error=False,
        )


class Teller(threading.Thread):
    """Prints how the recordings under way are doing, whenever a tenth more is done."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(daemon=True)
        self._catalogue = catalogue
        self._told: dict[str, tuple[str, int]] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_TELL_SECONDS):
            self._tell()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _tell(self) -> None:
        for status in self._catalogue.under_way(None):
            news = (status.status, status.percent // 10)
            if self._told.get(status.id) != news:
                self._told[status.id] = news
                click.echo(f"{status.percent:3d} %  {status.title[:60]}: {status.detail}")


def open_instance() -> dg.DagsterInstance:
    """The instance that ``$DAGSTER_HOME`` or, as for ``dagster dev``, the project's own
    ``dagster.yaml`` describes."""
    project = Path(__file__).resolve().parent.parent
    return dg.DagsterInstance.from_config(os.environ.get("DAGSTER_HOME") or str(project))


@click.command()
@click.argument("recordings", nargs=-1)
@click.option("--watch", is_flag=True)
def main(recordings: tuple[str, ...], watch: bool) -> None:
    """Exit 0 when all that was run is ready, 1 when some failed."""
    settings = load_settings()
    stopping = threading.Event()
    job = build_definitions(settings, stopping=stopping).resolve_job_def(INGEST_RECORDING)
    with open_rooms(settings) as rooms, open_instance() as instance:
        if recordings:
            rooms.catalogue.statuses(settings.org, recordings)  # NotFound before any work
        processor = Processor(rooms, instance, job, stopping)
        teller = Teller(rooms.catalogue)
        teller.start()
        try:
            with _stopped_by_signals(stopping), ThreadPoolExecutor(1) as worker:
                only = recordings or None
                work = worker.submit(processor.watch if watch else partial(processor.work, only))
                work.result()
        finally:
            teller.end()
        if not watch:
            sys.exit(_report(rooms.catalogue, sorted({*processor.handled, *recordings})))


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM has the work under way handed back, a second one ends the
    process at once. Dagster takes signals for itself on the main thread and may swallow one
    between two steps, so runs are made on another."""

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(catalogue: Catalogue, ids: Sequence[str]) -> int:
    statuses = catalogue.statuses(None, ids)
    for status in statuses:
        if status.error:
            error = status.error
            click.echo(
                f"{status.title} ({status.id}) failed at {error['stage']}: {error['message']} "
                f"{error['remedy']}",
                err=True,
            )
    ready = sum(status.status == "ready" for status in statuses)
    click.echo(f"{ready} of {len(statuses)} ready")
    return 0 if ready == len(statuses) else 1


if __name__ == "__main__":
    try:
        main()
    except PlayheadError as error:
        click.echo(f"{error}\n{error.remedy}", err=True)
        sys.exit(1)
