"""Failures: what a failed run leaves for a person.

A stage that fails has told the ledger itself. This sensor sees to what could not: workers that
died, runs that never began. They are tried again until there is no hope, then buried with the
reason; what a dead one made and did not tell is told.
"""

import dagster as dg

from pipeline_assets.maintenance.missing_events import report_missing_events_for_run
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.runs import partition_keys_of, works_on_recordings
from playhead.services.context import PipelineServices


@dg.run_failure_sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes dead letters for recordings whose workers die or whose runs cannot begin.",
)
def run_failure_sensor(
    context: dg.RunFailureSensorContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SkipReason:
    buried = playhead.pipeline.results.dead_letter_crashed()
    run = context.dagster_run
    if works_on_recordings(run):
        keys = context.instance.get_dynamic_partitions(PARTITION_SET)
        buried += playhead.pipeline.results.dead_letter_stalled(
            sorted(partition_keys_of(run.tags, keys)),
            run_id=run.run_id,
            message=context.failure_event.message or "The run failed before it began.",
        )
        report_missing_events_for_run(context.instance, playhead.pipeline.audit, run, keys)
    return dg.SkipReason(f"{buried} dead letters written")
