"""The sensor that requests runs for pending recordings, however they were added.

Without a live warm worker it takes all of them, otherwise only those that the worker left too long.
The database knows which recordings are pending, Dagster which are in progress. A request is marked
before it is sent, so a tick that dies is repeated after a pause and never twice at once.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_assets.jobs import ingest_recording
from pipeline_assets.partitions import PARTITION_SET, recordings_partitions
from pipeline_assets.policies import SENSOR_GRACE_SECONDS
from pipeline_assets.runs import (
    IN_PROGRESS_STATUSES,
    RunSpec,
    group_into_runs,
    missing_partition_keys,
    partition_keys_of,
)
from pipeline_assets.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from playhead.core.records import Recording
from playhead.postgres.coordination.liveness import WORKER
from playhead.services.context import PipelineServices

_INTERVAL_SECONDS = 4  # the daemon checks every 5 s and skips sensors that are not due yet
_RECORDINGS_PER_TICK = 400  # the daemon creates their runs before the next tick
_RUNS_PER_TICK = 100
_RETRY_GRACE = timedelta(minutes=2)  # Dagster creates the retry of a dead run within seconds


@dg.sensor(
    job=ingest_recording,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests runs for recordings that are not ready, failed or in progress.",
)
def pending_recordings_sensor(
    context: dg.SensorEvaluationContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SensorResult | dg.SkipReason:
    waiting = _not_taken_by_worker(playhead)
    if not waiting:
        return dg.SkipReason("no recording is pending, except those of the warm worker")
    keys = context.instance.get_dynamic_partitions(PARTITION_SET)
    busy = keys_in_progress(context.instance, keys)
    free = [recording for recording in waiting if recording.partition_key not in busy]
    added = missing_partition_keys(free, keys)
    runs = group_into_runs(free, [*keys, *added])[:_RUNS_PER_TICK]
    playhead.pipeline.recordings.mark_requested([identity for run in runs for identity in run.ids])
    return dg.SensorResult(
        run_requests=[_request(run) for run in runs],
        dynamic_partitions_requests=[recordings_partitions.build_add_request(added)],
    )


def _not_taken_by_worker(services: PipelineServices) -> list[Recording]:
    """Return the pending recordings for this sensor to request.

    While a warm worker is alive, these are only recordings that are overdue.
    """
    waiting = services.pipeline.recordings.pending(limit=_RECORDINGS_PER_TICK, unrequested=True)
    if not waiting or not services.liveness.is_alive(WORKER):
        return waiting
    overdue = services.pipeline.recordings.overdue(
        [recording.id for recording in waiting], SENSOR_GRACE_SECONDS
    )
    return [recording for recording in waiting if recording.id in overdue]


def _request(run: RunSpec) -> dg.RunRequest:
    # No run key: Dagster remembers keys permanently and would drop the run of a later attempt.
    return dg.RunRequest(tags=dict(run.tags), run_config=run.run_config)


def keys_in_progress(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    job = ingest_recording.name
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS_STATUSES))
    failed = instance.get_runs(
        dg.RunsFilter(
            job_name=job,
            statuses=[dg.DagsterRunStatus.FAILURE],
            tags={WILL_RETRY_TAG: "true"},
            updated_after=datetime.now(UTC) - _RETRY_GRACE,
        )
    )
    retries = [run for run in failed if AUTO_RETRY_RUN_ID_TAG not in run.tags]
    return {key for run in [*runs, *retries] for key in partition_keys_of(run.tags, keys)}
