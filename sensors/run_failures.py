"""Failures: what a failed run leaves for a person.

A stage that fails has told the ledger itself. This sensor sees to what could not: workers that
died, runs that never began. They are tried again until there is no hope, then buried with the
reason; what a dead one made and did not tell is told.
"""

import dagster as dg

from pipeline_assets.maintenance.missing_events import tell_untold_of_run
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.runs import covered, works_on_recordings
from playhead.services.context import PipelineServices


@dg.run_failure_sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes dead letters for recordings whose workers die or whose runs cannot begin.",
)
def failures(
    context: dg.RunFailureSensorContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SkipReason:
    buried = playhead.pipeline.results.bury_lost()
    run = context.dagster_run
    if works_on_recordings(run):
        keys = context.instance.get_dynamic_partitions(PARTITION_SET)
        buried += playhead.pipeline.results.bury_stuck(
            sorted(covered(run.tags, keys)),
            run_id=run.run_id,
            message=context.failure_event.message or "The run failed before it began.",
        )
        tell_untold_of_run(context.instance, playhead.pipeline.audit, run, keys)
    return dg.SkipReason(f"{buried} dead letters written")
