"""The sensor that syncs provider batches while a request waits for one or one is in progress."""

import dagster as dg

from pipeline_assets.jobs import sync_provider_batches
from pipeline_assets.runs import IN_PROGRESS_STATUSES
from playhead.services.context import PipelineServices

_INTERVAL_SECONDS = 60  # a batch takes minutes to hours


@dg.sensor(
    job=sync_provider_batches,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends pending batch requests to providers and stores the answers.",
)
def provider_batches_sensor(
    context: dg.SensorEvaluationContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SensorResult:
    if not playhead.provider_use.batches.has_work():
        return dg.SensorResult(skip_reason="no request is pending for a batch")
    in_progress = dg.RunsFilter(job_name=sync_provider_batches.name, statuses=IN_PROGRESS_STATUSES)
    if context.instance.get_runs(in_progress, limit=1):
        return dg.SensorResult(skip_reason="a run is in progress")
    return dg.SensorResult(run_requests=[dg.RunRequest()])
