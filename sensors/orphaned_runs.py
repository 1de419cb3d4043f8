"""The sensor that fails runs whose worker died without reporting it."""

import dagster as dg

from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from playhead.services.context import PipelineServices

_INTERVAL_SECONDS = 4  # the daemon checks every 5 s and skips sensors that are not due yet


@dg.sensor(
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs that are marked as started while no process works on them.",
)
def orphaned_runs_sensor(
    context: dg.SensorEvaluationContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SkipReason:
    failed = fail_orphaned_runs(context.instance, playhead)
    return dg.SkipReason(f"{failed} orphaned runs failed" if failed else "no run is orphaned")
