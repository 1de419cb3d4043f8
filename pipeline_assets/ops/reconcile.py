"""Compare what should exist with what does, and repair what needs no person.

- media files without a recording (a crash while ingesting): deleted after a day
- recordings whose media file is missing: logged, since only a person can restore it
- partitions without a recording or of an archived one: removed
- recordings without a partition: added
- results marked as done whose content is incomplete: invalidated, so the stage runs again
- results without a Dagster event: reported
- results that crashed too many workers: dead-lettered
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
    orphans = playhead.files.media.remove_orphans(stored.items())
    missing = playhead.files.media.missing(stored.items())
    for identity in missing:
        context.log.error(f"The media file of {identity} is missing; add it again from its source.")
    added, removed = sync_partitions(
        context.instance, set(playhead.pipeline.recordings.unarchived_keys())
    )
    facts = {
        "recordings": len(stored),
        "media_removed": len(orphans),
        "media_missing": len(missing),
        "partitions_added": added,
        "partitions_removed": removed,
        "results_invalidated": playhead.pipeline.content.invalidate_incomplete(),
        "reported": report_missing_events(context.instance, playhead.pipeline.audit),
        "dead_letters": playhead.pipeline.results.dead_letter_crashed(),
    }
    yield dg.AssetObservation("backlog", metadata=facts)
    context.log.info(f"Reconciled: {facts}")
    yield dg.Output(None)
