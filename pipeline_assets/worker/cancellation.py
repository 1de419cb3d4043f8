"""A run that this process makes may be ended from outside: by a person in the UI, or by whoever
thought this worker dead. Here: noticing it, and seeing to it that the run stops."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from resources.dagster_storage import DATABASE_ERRORS

_POLL_INTERVAL_SECONDS = 2.0
_KILL_AFTER_SECONDS = 60.0  # then the whole process ends: what it holds must come free
_CANCELED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


@contextmanager
def stop_on_termination(
    instance: dg.DagsterInstance, run_id: str, stop: threading.Event
) -> Iterator[threading.Event]:
    """While inside, ``stop`` is set when somebody ends the run. Gives an event that tells
    afterwards whether it was cancelled; then it stays so in Dagster."""
    over, canceled = threading.Event(), threading.Event()
    arguments = (instance, run_id, stop, over, canceled)
    watcher = threading.Thread(target=_watch, args=arguments, daemon=True)
    watcher.start()
    try:
        yield canceled
    finally:
        over.set()
        watcher.join()
    if canceled.is_set() and (run := instance.get_run_by_id(run_id)):
        instance.report_run_canceled(run)


def _watch(
    instance: dg.DagsterInstance,
    run_id: str,
    stop: threading.Event,
    over: threading.Event,
    canceled: threading.Event,
) -> None:
    while not over.wait(_POLL_INTERVAL_SECONDS):
        status = _status(instance, run_id)
        if status in _CANCELED:
            canceled.set()
        elif status is not dg.DagsterRunStatus.FAILURE:
            continue
        stop.set()
        if not over.wait(_KILL_AFTER_SECONDS):
            sys.stderr.write(f"Run {run_id} was ended and does not stop: so this worker does.\n")
            os._exit(1)
        return


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    with suppress(*DATABASE_ERRORS):
        run = instance.get_run_by_id(run_id)
        return run.status if run else None
    return None
