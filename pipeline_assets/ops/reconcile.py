"""Reconcile: what should exist against what does, mended where that needs no person.

- media files that belong to no recording (a crash while taking in): removed after a day
- recordings whose media file is gone: told, since only a person can bring it back
- partitions without a recording or of an archived one, recordings without a partition: removed,
  added
- results that say done and whose content is not whole: taken back, so the stage runs again
- results that Dagster was never told of: told
- workers that died too often over one result: a dead letter
"""

from collections.abc import Iterator

import dagster as dg

from pipeline_assets.maintenance.missing_events import report_missing_events
from pipeline_assets.maintenance.partition_sync import sync_partitions
from playhead.services.context import PipelineServices


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def reconcile(
    context: dg.OpExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    stored = playhead.pipeline.recordings.stored()
    swept = playhead.files.media.sweep(stored.items())
    missing = playhead.files.media.missing(stored.items())
    for identity in missing:
        context.log.error(f"The media file of {identity} is gone; add it again from its source.")
    added, removed = sync_partitions(
        context.instance, set(playhead.pipeline.recordings.unarchived())
    )
    facts = {
        "recordings": len(stored),
        "media_swept": len(swept),
        "media_missing": len(missing),
        "partitions_added": added,
        "partitions_removed": removed,
        "results_taken_back": playhead.pipeline.content.invalidate_incomplete(),
        "told": report_missing_events(context.instance, playhead.pipeline.audit),
        "buried": playhead.pipeline.results.dead_letter_crashed(),
    }
    yield dg.AssetObservation("backlog", metadata=facts)
    context.log.info(f"Reconciled: {facts}")
    yield dg.Output(None)
