"""The sensor that repeats retries which Dagster lost.

When a worker dies, Dagster's daemon requests its run again, once. If the code server is unavailable
at that moment, the daemon notes that it will not retry and does not return to it (see the comment
at the end of ``auto_run_reexecution.py`` in 1.13.27). If the daemon itself dies at that moment, the
run stays marked for a retry and its backfill never finishes. A sensor runs in the code server,
which is therefore available when this one is evaluated.

Not yet reported upstream. The sensor can be deleted when Dagster's daemon retries such runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from pipeline_assets.jobs import ingest_recording
from pipeline_assets.runs import works_on_recordings
from pipeline_assets.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    RUN_FAILURE_REASON_TAG,
    WILL_RETRY_TAG,
)

_INTERVAL_SECONDS = 14  # the daemon checks every 5 s and skips sensors that are not due yet
_LOOKBACK = timedelta(hours=1)
_GRACE = timedelta(minutes=1)  # the daemon takes seconds
_KEPT_TAGS = {
    PARTITION_NAME_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    ASSET_PARTITION_RANGE_END_TAG,
    PRIORITY_TAG,
    BACKFILL_ID_TAG,
}
_CANCELLED = {BulkActionStatus.CANCELED, BulkActionStatus.CANCELING}


@dg.sensor(
    job=ingest_recording,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests runs again whose workers died while the code server was down.",
)
def lost_retries_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    requests = [_retry_request(run) for run in find_lost_retries(context.instance)]
    return dg.SensorResult(
        run_requests=requests, skip_reason=None if requests else "no retry was lost"
    )


def find_lost_retries(
    instance: dg.DagsterInstance, *, grace: timedelta = _GRACE
) -> Iterator[dg.DagsterRun]:
    """Yield failed runs that Dagster's own rule would retry but that it did not.

    They are tagged so that the daemon does not retry them, too.
    """
    now = datetime.now(UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - _LOOKBACK)
    for record in instance.get_run_records(failed):
        run = record.dagster_run
        if not works_on_recordings(run) or AUTO_RETRY_RUN_ID_TAG in run.tags:
            continue
        if run.is_complete_and_waiting_to_retry:
            if record.update_timestamp > now - grace:
                continue
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
        if _is_retryable(instance, run):
            yield run


def _is_retryable(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    by_rule = auto_reexecution_should_retry_run(
        instance, run, RunFailureReason(reason) if reason else None
    )
    return by_rule and not _cancelled(instance, run)


def _cancelled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    backfill = instance.get_backfill(run.tags.get(BACKFILL_ID_TAG, ""))
    return backfill is not None and backfill.status in _CANCELLED


def _retry_request(run: dg.DagsterRun) -> dg.RunRequest:
    """Return a request for the same partitions, stages and backfill.

    Its run key makes Dagster run it only once.
    """
    return dg.RunRequest(
        run_key=f"again {run.run_id}",
        tags={name: value for name, value in run.tags.items() if name in _KEPT_TAGS},
        run_config=run.run_config,
        asset_selection=sorted(run.asset_selection or ()) or None,
    )
