"""The Dagster jobs. Schedules and sensors start them."""

import dagster as dg

from pipeline_assets.assets.backlog import backlog
from pipeline_assets.assets.recordings import recordings
from pipeline_assets.assets.vector_indexes import vector_indexes, vector_search_recall
from pipeline_assets.ops.ingest_file import ingest_inbox_file
from pipeline_assets.ops.model_switch import switch_model
from pipeline_assets.ops.provider_batches import sync_batches
from pipeline_assets.ops.prune import prune
from pipeline_assets.ops.rebuild_archived import rebuild_archived_recordings
from pipeline_assets.ops.reconcile import reconcile
from pipeline_assets.policies import JOB_TAGS
from pipeline_assets.runs import INGEST_RECORDING, REBUILD_ARCHIVED

# One process per run: the default executor starts one per step and takes five times the CPU.
ingest_recording = dg.define_asset_job(
    INGEST_RECORDING,
    selection=dg.AssetSelection.assets(*recordings.keys),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Process recordings through all five stages; existing results are reused.",
)


@dg.job(name=REBUILD_ARCHIVED, executor_def=dg.in_process_executor, tags=JOB_TAGS)
def rebuild_archived() -> None:
    """Rebuild the results of archived recordings that a plan covers."""
    rebuild_archived_recordings()


report_backlog = dg.define_asset_job(
    "report_backlog",
    selection=dg.AssetSelection.assets(backlog),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Materialize the backlog, so that its freshness is current.",
)

index_vectors = dg.define_asset_job(
    "index_vectors",
    selection=dg.AssetSelection.assets(vector_indexes).without_checks(),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Build, rebuild and drop vector indexes as organisations grow and shrink.",
)

check_recall = dg.define_asset_job(
    "check_recall",
    selection=dg.AssetSelection.checks(vector_search_recall),
    executor_def=dg.in_process_executor,
    tags=JOB_TAGS,
    description="Compare vector searches with exact scans, in organisations of every size.",
)


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def reconcile_recordings() -> None:
    """Compare stored recordings, media files, partitions and results, and repair differences."""
    reconcile()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def switch_embedding_model() -> None:
    """Add, build, evaluate and activate embedding sets until they match the settings."""
    switch_model()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def sync_provider_batches() -> None:
    """Submit pending provider batches and collect their answers."""
    sync_batches()


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def prune_history() -> None:
    """Delete Dagster's old events and runs; the displayed state of partitions stays."""
    prune()


JOBS = (
    ingest_recording,
    rebuild_archived,
    report_backlog,
    index_vectors,
    check_recall,
    reconcile_recordings,
    switch_embedding_model,
    sync_provider_batches,
    prune_history,
    ingest_inbox_file,
)
