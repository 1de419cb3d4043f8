"""The Dagster schedules."""

from __future__ import annotations

import dagster as dg

from pipeline_assets.jobs import (
    check_recall,
    index_vectors,
    prune_history,
    reconcile_recordings,
    report_backlog,
    switch_embedding_model,
)
from pipeline_assets.ops.model_switch import pending_steps
from playhead.services.context import PipelineServices

nightly_reconcile_schedule = dg.ScheduleDefinition(
    name="nightly_reconcile_schedule",
    job=reconcile_recordings,
    cron_schedule="17 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

nightly_prune_schedule = dg.ScheduleDefinition(
    name="nightly_prune_schedule",
    job=prune_history,
    cron_schedule="41 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

nightly_recall_schedule = dg.ScheduleDefinition(
    name="nightly_recall_schedule",
    job=check_recall,
    cron_schedule="53 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

hourly_backlog_schedule = dg.ScheduleDefinition(
    name="hourly_backlog_schedule",
    job=report_backlog,
    cron_schedule="5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(
    job=switch_embedding_model,
    cron_schedule="*/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def model_switch_schedule(
    playhead: dg.ResourceParam[PipelineServices],
) -> dg.RunRequest | dg.SkipReason:
    """Request a run if an embedding set must be added, built or evaluated.

    The check itself needs no run.
    """
    if not pending_steps(playhead):
        return dg.SkipReason("the embedding sets match the settings and are complete")
    return dg.RunRequest()


@dg.schedule(
    job=index_vectors,
    cron_schedule="4-59/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def vector_index_schedule(
    playhead: dg.ResourceParam[PipelineServices],
) -> dg.RunRequest | dg.SkipReason:
    """Request a run if a vector index is missing, superfluous or mostly empty.

    The check itself needs no run.
    """
    if not any(index.action for index in playhead.search.vector_indexes.index_states()):
        return dg.SkipReason("every organisation has the index for its size")
    return dg.RunRequest()
