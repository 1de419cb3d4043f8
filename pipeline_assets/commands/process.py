"""``python -m pipeline_assets.commands.process``: process pending recordings through Dagster.

Runs in this process; with ``--watch`` as the warm worker. It works without a Dagster daemon and
next to one, with the same jobs and the same results. Started by ``playhead process``. This is an
entry point; no module imports it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

import click
import dagster as dg

from pipeline_assets.commands.entry_point import run
from pipeline_assets.definitions import build_definitions
from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from pipeline_assets.worker.in_process_runner import InProcessRunner, freeze_loaded_objects
from pipeline_assets.worker.worker import Worker
from playhead.core.errors import DatabaseUnavailable
from playhead.core.settings import load_settings
from playhead.engines.registry import build_engines
from playhead.postgres.pipeline.recordings import Recordings
from playhead.services.context import Services, open_pipeline_services
from resources.dagster_storage import open_instance

_PRINT_INTERVAL_SECONDS = 0.5
_SIGNAL_POLL_SECONDS = 0.2  # checks whether a signal was received


class ProgressPrinter(threading.Thread):
    """A thread that prints the progress of active recordings at every ten percent."""

    def __init__(self, recordings: Recordings, working: threading.Event) -> None:
        super().__init__(daemon=True)
        self._recordings = recordings
        self._working = working
        self._printed: dict[str, tuple[str, int]] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_PRINT_INTERVAL_SECONDS):
            if self._working.is_set():
                with suppress(DatabaseUnavailable):
                    self._print()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _print(self) -> None:
        for status in self._recordings.under_way(None):
            state = (status.status, status.percent // 10)
            if self._printed.get(status.id) != state:
                self._printed[status.id] = state
                click.echo(f"{status.percent:3d} %  {status.title[:60]}: {status.detail}")


@click.command()
@click.argument("recordings", nargs=-1)
@click.option("--watch", is_flag=True)
def main(recordings: tuple[str, ...], watch: bool) -> None:
    """Process pending recordings.

    Exits with 0 if all processed recordings are ready or parked, with 1 if some failed.
    """
    settings = load_settings()
    with (
        open_pipeline_services(settings, build_engines(settings)) as services,
        open_instance() as instance,
    ):
        runner = InProcessRunner(services, instance, build_definitions(settings, services=services))
        with _print_progress(services.pipeline.recordings, runner.working):
            if watch:
                worker = Worker(services, instance, runner)
                _run_with_signals(worker.run, stop=worker.stop)
                return
            work = partial(_work, runner, services, instance, recordings)
            _run_with_signals(work, stop=runner.stop)
        code = _report(services.pipeline.recordings, sorted({*runner.handled, *recordings}))
    sys.exit(code)


def _work(
    runner: InProcessRunner,
    services: Services,
    instance: dg.DagsterInstance,
    recordings: Sequence[str],
) -> None:
    freeze_loaded_objects()
    services.pipeline.results.dead_letter_crashed()
    fail_orphaned_runs(instance, services)
    runner.run_until_done(recordings or None)


def _run_with_signals(work: Callable[[], None], *, stop: Callable[[], None]) -> None:
    """Run the work on another thread and stop it on SIGINT or SIGTERM.

    The first signal releases the work in progress, the second ends the process at once. Dagster
    handles signals itself on the main thread and may swallow one between two steps, so runs execute
    on another thread.
    """
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)  # uses no lock: a signal may interrupt its own handler
        signal.signal(number, signal.SIG_DFL)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        with ThreadPoolExecutor(1) as worker:
            done = worker.submit(work)
            while not wait([done], timeout=_SIGNAL_POLL_SECONDS).done:
                if received:
                    stop()
            done.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _print_progress(recordings: Recordings, working: threading.Event) -> Iterator[None]:
    printer = ProgressPrinter(recordings, working)
    printer.start()
    try:
        yield
    finally:
        printer.end()


def _report(recordings: Recordings, ids: Sequence[str]) -> int:
    statuses = recordings.statuses(None, ids)
    for status in statuses:
        if status.error:
            error = status.error
            click.echo(
                f"{status.title} ({status.partition_key}) failed at {error['stage']}: "
                f"{error['message']} {error['remedy']}",
                err=True,
            )
        elif status.status == "parked":
            click.echo(
                f"{status.title} ({status.partition_key}) is parked {status.detail}", err=True
            )
    ready, parked = (
        sum(status.status == word for status in statuses) for word in ("ready", "parked")
    )
    click.echo(f"{ready} of {len(statuses)} ready{f', {parked} parked' if parked else ''}")
    return 0 if ready + parked == len(statuses) else 1


if __name__ == "__main__":
    run(main)
