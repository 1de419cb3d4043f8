"""The warm worker: a process that keeps engines and connections open and starts work at once.

The database wakes it, it ingests inbox files, it polls every 30 seconds, and it carries out plans
while no recording is pending. While it is alive, the sensors leave all this to it
(docs/decisions/0005-warm-worker.md).
"""

from __future__ import annotations

import time

import click
import dagster as dg

from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from pipeline_assets.worker.in_process_runner import InProcessRunner
from pipeline_assets.worker.inbox_watcher import InboxWatcher
from playhead.postgres.coordination.liveness import WORKER
from playhead.services.context import PipelineServices
from resources.dagster_storage import DATABASE_ERRORS

_POLL_INTERVAL_SECONDS = 30.0  # without notification: for ended pauses and dead workers
_PAUSE_SECONDS = 1.0  # while the database is unavailable


class Worker:
    """The warm worker. It runs from ``run`` until ``stop``, which any thread may call."""

    def __init__(
        self, services: PipelineServices, instance: dg.DagsterInstance, processor: InProcessRunner
    ) -> None:
        self._services = services
        self._instance = instance
        self._processor = processor
        self._doorbell = services.liveness.listener()
        self._taker = InboxWatcher(services)

    def run(self) -> None:
        """Run until stopped.

        Survives restarts of the database: interrupted work becomes pending again.
        """
        self._doorbell.start()
        self._taker.start()
        try:
            with self._services.liveness.hold(WORKER):
                self._loop()
        finally:
            self._taker.close()
            self._doorbell.close()

    def stop(self) -> None:
        self._processor.stop()
        self._doorbell.rung.set()

    def _loop(self) -> None:
        look_at = time.monotonic()
        while not self._processor.leaving.is_set():
            try:
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + _POLL_INTERVAL_SECONDS
                    self._services.pipeline.results.dead_letter_crashed()
                    fail_orphaned_runs(self._instance, self._services)
                self._processor.drain()
                if self._processor.run_plans(unless=self._doorbell.rung.is_set):
                    continue  # new recordings are processed between two runs of a plan
            except DATABASE_ERRORS as error:
                click.echo(f"The database is unavailable: {error}", err=True)
                self._processor.leaving.wait(_PAUSE_SECONDS)
                look_at = time.monotonic()
            self._doorbell.rung.wait(max(look_at - time.monotonic(), 0.0))
            self._doorbell.rung.clear()
