"""The jobs: what can be run as a whole. Not here: when (``schedules.py``, ``sensors``)."""

import dagster as dg

from pipeline_assets.assets.backlog import backlog
from pipeline_assets.assets.recordings import recordings
from pipeline_assets.assets.vector_indexes import nearest_are_found, vector_indexes
from pipeline_assets.ops.ingest_file import collect_file
from pipeline_assets.ops.model_switch import change_model
from pipeline_assets.ops.provider_batches import carry
from pipeline_assets.ops.prune import prune
from pipeline_assets.ops.rebuild_archived import archived
from pipeline_assets.ops.reconcile import reconcile
from pipeline_assets.policies import JOB_TAGS
from pipeline_assets.runs import INGEST_RECORDING, REWORK_ARCHIVED

# One process a run: the default executor starts one a step and costs five times the CPU.
ingest_recording = dg.define_asset_job(
    INGEST_RECORDING,
    selection=dg.AssetSelection.assets(*recordings.keys),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="A recording through all five stages; what is there already stays.",
)


@dg.job(name=REWORK_ARCHIVED, executor_def=dg.in_process_executor, tags=JOB_TAGS)
def rework_archived() -> None:
    """What a plan wants of archived recordings."""
    archived()


report_backlog = dg.define_asset_job(
    "report_backlog",
    selection=dg.AssetSelection.assets(backlog),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Look at what waits, so that the backlog's freshness means something.",
)

index_vectors = dg.define_asset_job(
    "index_vectors",
    selection=dg.AssetSelection.assets(vector_indexes).without_checks(),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Build, rebuild and drop indexes of vectors as organisations grow and shrink.",
)

check_recall = dg.define_asset_job(
    "check_recall",
    selection=dg.AssetSelection.checks(nearest_are_found),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Compare searches with exact ones, in organisations of every size.",
)


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def reconcile_recordings() -> None:
    """Compare what should exist with what does, and mend it."""
    reconcile()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def change_embedding_model() -> None:
    """Begin, complete, judge and switch sets of vectors as settings want it."""
    change_model()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def carry_batches() -> None:
    """Send what waits for a batch, and take in what was answered."""
    carry()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def prune_history() -> None:
    """Let go of Dagster's old events and runs; partitions stay as they are shown."""
    prune()


JOBS = (
    ingest_recording,
    rework_archived,
    report_backlog,
    index_vectors,
    check_recall,
    reconcile_recordings,
    change_embedding_model,
    carry_batches,
    prune_history,
    collect_file,
)
