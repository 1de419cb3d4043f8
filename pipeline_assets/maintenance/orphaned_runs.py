"""Fail runs that are marked as started while no process works on them.

Dagster notices a dead worker through the code server that started it. If both died (a power cut,
the end of a container), if there was none (``playhead process``), or if the worker hangs, the run
would stay started until its time limit, occupy its place in the pool and keep its recordings from
other runs. A live worker sends a heartbeat for its run
(``playhead/postgres/coordination/liveness.py``).
"""

from __future__ import annotations

import time

import dagster as dg

from pipeline_assets.maintenance.missing_events import report_missing_events_for_run
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.runs import partition_keys_of, sends_heartbeat
from pipeline_assets.tags import NO_RUN_RETRIES
from playhead.postgres.coordination.liveness import ProcessLiveness, run_role
from playhead.services.context import Services

GRACE_SECONDS = 5.0  # between a run's start and its heartbeat, and between their ends


def fail_orphaned_runs(
    instance: dg.DagsterInstance, services: Services, *, grace_seconds: float = GRACE_SECONDS
) -> int:
    """Fail runs without a live worker, free what they held, and return their number.

    Terminates stalled processes first. Results that the runs stored but did not report are
    reported.
    """
    services.liveness.terminate_stalled()
    suspects = {run.run_id for run in _without_heartbeat(instance, services.liveness)}
    if not suspects:
        return 0
    time.sleep(grace_seconds)
    orphans = [
        run for run in _without_heartbeat(instance, services.liveness) if run.run_id in suspects
    ]
    keys = instance.get_dynamic_partitions(PARTITION_SET)
    for run in orphans:
        instance.report_run_failed(run, "Its worker died and stored no error.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        report_missing_events_for_run(instance, services.pipeline.audit, run, keys)
        if NO_RUN_RETRIES.items() <= run.tags.items():
            store = services.pipeline.recordings
            affected = store.by_partition_keys(sorted(partition_keys_of(run.tags, keys)))
            store.release([recording.id for recording in affected])
    return len(orphans)


def _without_heartbeat(
    instance: dg.DagsterInstance, liveness: ProcessLiveness
) -> list[dg.DagsterRun]:
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    runs = {run_role(run.run_id): run for run in started if sends_heartbeat(run)}
    return [runs[role] for role in liveness.not_alive(list(runs))]
