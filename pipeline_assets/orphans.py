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

_BEGINNING_SECONDS = 30.0  # from "started" to the lock: models and schema are looked at between
_ENDING_SECONDS = 2.0  # from the lock's release to the run's end


def fail_orphans(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """End the runs that nobody attends and free their places in the pool; how many."""
    suspects = {run.run_id for run in _unattended(instance, ledger)}
    if not suspects:
        return 0
    time.sleep(_ENDING_SECONDS)
    orphans = [run for run in _unattended(instance, ledger) if run.run_id in suspects]
    for run in orphans:
        instance.report_run_failed(run, "Its worker died without a word.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(orphans)


def _unattended(instance: dg.DagsterInstance, ledger: Ledger) -> list[dg.DagsterRun]:
    started = dg.RunsFilter(job_name=INGEST_RECORDING, statuses=[dg.DagsterRunStatus.STARTED])
    latest = time.time() - _BEGINNING_SECONDS
    runs = {
        record.dagster_run.run_id: record.dagster_run
        for record in instance.get_run_records(started)
        if (record.start_time or latest) < latest
    }
    return [runs[run_id] for run_id in ledger.unattended(list(runs))]
