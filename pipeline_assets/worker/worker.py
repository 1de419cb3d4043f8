"""The warm worker: a process that keeps engines and connections open and starts work at once.

The database wakes it, it ingests inbox files, it polls every 30 seconds, and it carries out plans
while no recording is pending. While it is alive, the sensors leave all this to it
(docs/decisions/0005-warm-worker.md).

Why our own: procrastinate has notifications, heartbeats and stalled jobs, but its jobs are its own
rows, and runs must be Dagster runs so that Dagster shows their partitions, events and checks.
"""

from __future__ import annotations

import time

import click
import dagster as dg

from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from pipeline_assets.worker.in_process_runner import InProcessRunner, freeze_loaded_objects
from pipeline_assets.worker.inbox_watcher import InboxWatcher
from playhead.postgres.coordination.liveness import WORKER
from playhead.services.context import PipelineServices
from resources.dagster_storage import DATABASE_ERRORS

_POLL_INTERVAL_SECONDS = 30.0  # without notification: for ended pauses and dead workers
_PAUSE_SECONDS = 1.0  # while the database is unavailable


class Worker:
    """The warm worker. It runs from ``run`` until ``stop``, which any thread may call."""

    def __init__(
        self, services: PipelineServices, instance: dg.DagsterInstance, runner: InProcessRunner
    ) -> None:
        self._services = services
        self._instance = instance
        self._runner = runner
        self._listener = services.liveness.listener()
        self._inbox_watcher = InboxWatcher(services)

    def run(self) -> None:
        """Run until stopped.

        Survives restarts of the database: interrupted work becomes pending again.
        """
        freeze_loaded_objects()
        self._listener.start()
        self._inbox_watcher.start()
        try:
            with self._services.liveness.hold(WORKER):
                self._loop()
        finally:
            self._inbox_watcher.close()
            self._listener.close()

    def stop(self) -> None:
        self._runner.stop()
        self._listener.work_available.set()

    def _loop(self) -> None:
        next_poll = time.monotonic()
        while not self._runner.stopping.is_set():
            try:
                if time.monotonic() >= next_poll:
                    next_poll = time.monotonic() + _POLL_INTERVAL_SECONDS
                    self._services.pipeline.results.dead_letter_crashed()
                    fail_orphaned_runs(self._instance, self._services)
                self._runner.drain()
                if self._runner.run_plans(unless=self._listener.work_available.is_set):
                    continue  # new recordings are processed between two runs of a plan
            except DATABASE_ERRORS as error:
                click.echo(f"The database is unavailable: {error}", err=True)
                self._runner.stopping.wait(_PAUSE_SECONDS)
                next_poll = time.monotonic()
            self._listener.work_available.wait(max(next_poll - time.monotonic(), 0.0))
            self._listener.work_available.clear()
