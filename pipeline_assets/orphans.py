"""Orphans: runs that say "started" while nobody works on them.

Dagster sees a worker die through the code server that started it. Where both died (a power
cut, a container's end), or there was none (``playhead process``), the run would say "started"
until its time limit, hold its place in the pool and keep its recordings from other runs. A
living worker holds the run's lock (``Ledger.attend``), and that ends with it however it dies.
"""

from __future__ import annotations

import time

import dagster as dg

from pipeline_assets.jobs import INGEST_RECORDING
from resources.postgres.ledger import Ledger

_GRACE_SECONDS = 5.0  # between "started" and the lock, and between its release and the end


def fail_orphans(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """End the runs that nobody attends and free their places in the pool; how many."""
    suspects = {run.run_id for run in _unattended(instance, ledger)}
    if not suspects:
        return 0
    time.sleep(_GRACE_SECONDS)
    orphans = [run for run in _unattended(instance, ledger) if run.run_id in suspects]
    for run in orphans:
        instance.report_run_failed(run, "Its worker died without a word.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(orphans)


def _unattended(instance: dg.DagsterInstance, ledger: Ledger) -> list[dg.DagsterRun]:
    started = dg.RunsFilter(job_name=INGEST_RECORDING, statuses=[dg.DagsterRunStatus.STARTED])
    runs = {run.run_id: run for run in instance.get_runs(started)}
    return [runs[run_id] for run_id in ledger.unattended(list(runs))]
