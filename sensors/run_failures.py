"""The sensor that handles failed runs.

A stage that fails stores its error itself. This sensor handles the rest: workers that died and runs
that never started. Their results are retried until the limit of crashes and then dead-lettered with
the reason; results that a dead worker stored but did not report are reported.
"""

import dagster as dg

from pipeline_assets.maintenance.missing_events import report_missing_events_for_run
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.runs import partition_keys_of, works_on_recordings
from playhead.services.context import PipelineServices


@dg.run_failure_sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes dead letters for recordings whose workers die or whose runs cannot start.",
)
def run_failure_sensor(
    context: dg.RunFailureSensorContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SkipReason:
    dead_letters = playhead.pipeline.results.dead_letter_crashed()
    run = context.dagster_run
    if works_on_recordings(run):
        keys = context.instance.get_dynamic_partitions(PARTITION_SET)
        affected = playhead.pipeline.recordings.by_partition_keys(
            sorted(partition_keys_of(run.tags, keys))
        )
        dead_letters += playhead.pipeline.results.dead_letter_stalled(
            [recording.id for recording in affected],
            run_id=run.run_id,
            message=context.failure_event.message or "The run failed before it started.",
        )
        report_missing_events_for_run(context.instance, playhead.pipeline.audit, run, keys)
    return dg.SkipReason(f"{dead_letters} dead letters written")
