"""Stop an in-process run that was ended from outside.

A run may be ended by a person in the UI, or by a process that took this worker for dead.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from resources.dagster_storage import DATABASE_ERRORS

_POLL_INTERVAL_SECONDS = 2.0
_KILL_AFTER_SECONDS = 60.0  # then the process exits, to release what it holds
_CANCELED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


@contextmanager
def stop_on_termination(
    instance: dg.DagsterInstance, run_id: str, stop: threading.Event
) -> Iterator[threading.Event]:
    """Set ``stop`` when the run is ended from outside while the block runs.

    Yields an event that is set afterwards if the run was cancelled; the run then stays cancelled in
    Dagster. If the run does not stop within 60 seconds, the process exits with 1.
    """
    ended, canceled = threading.Event(), threading.Event()
    arguments = (instance, run_id, stop, ended, canceled)
    watcher = threading.Thread(target=_watch, args=arguments, daemon=True)
    watcher.start()
    try:
        yield canceled
    finally:
        ended.set()
        watcher.join()
    if canceled.is_set() and (run := instance.get_run_by_id(run_id)):
        instance.report_run_canceled(run)


def _watch(
    instance: dg.DagsterInstance,
    run_id: str,
    stop: threading.Event,
    ended: threading.Event,
    canceled: threading.Event,
) -> None:
    while not ended.wait(_POLL_INTERVAL_SECONDS):
        status = _status(instance, run_id)
        if status in _CANCELED:
            canceled.set()
        elif status is not dg.DagsterRunStatus.FAILURE:
            continue
        stop.set()
        if not ended.wait(_KILL_AFTER_SECONDS):
            sys.stderr.write(f"Run {run_id} was canceled but does not stop; this worker exits.\n")
            os._exit(1)
        return


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    with suppress(*DATABASE_ERRORS):
        run = instance.get_run_by_id(run_id)
        return run.status if run else None
    return None
