"""The sensor that requests runs for open plans while no warm worker is alive."""

import dagster as dg

from pipeline_assets.jobs import ingest_recording, rebuild_archived
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.planning.plan_runs import run_requests_for_plans
from pipeline_assets.runs import RunSpec
from playhead.postgres.coordination.liveness import WORKER
from playhead.services.context import PipelineServices
from sensors.pending_recordings import keys_in_progress

_INTERVAL_SECONDS = 14  # the daemon checks every 5 s and skips sensors that are not due yet


@dg.sensor(
    jobs=[ingest_recording, rebuild_archived],
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests low-priority runs for open plans, up to a few hundred recordings ahead.",
)
def rebuild_plans_sensor(
    context: dg.SensorEvaluationContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SensorResult:
    if playhead.liveness.is_alive(WORKER):
        return dg.SensorResult(skip_reason="a warm worker is running")
    if not playhead.pipeline.plans.under_way():
        return dg.SensorResult(skip_reason="no plan is open")
    keys = context.instance.get_dynamic_partitions(PARTITION_SET)
    busy = keys_in_progress(context.instance, keys)
    runs = list(run_requests_for_plans(playhead, keys, busy))
    playhead.pipeline.recordings.mark_requested([identity for run in runs for identity in run.ids])
    return dg.SensorResult(
        run_requests=[_request(run) for run in runs],
        skip_reason=None if runs else "the plans need no further run",
    )


def _request(run: RunSpec) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=run.job,
        tags=dict(run.tags),
        run_config=run.run_config,
        asset_selection=run.assets,
    )
