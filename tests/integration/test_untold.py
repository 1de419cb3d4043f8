"""What a worker made and did not live to tell is told, once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from pipeline_assets.maintenance.missing_events import report_missing_events
from pipeline_assets.maintenance.orphaned_runs import fail_orphaned_runs
from pipeline_assets.tags import NO_RUN_RETRIES, PARTITION_NAME_TAG
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.database import Database
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline
from tests.support.factories import PipelineDriver

Add = Callable[[str], Recording]


@pytest.fixture
def untold(settings: Settings, add: Add) -> Recording:
    """Made in all its stages by a run that Dagster never heard of."""
    recording = add("untold.wav")
    database = Database(str(settings.database_url))
    worker = PipelineDriver(database, "run-1")
    worker.run_all_stages(recording)
    worker.results.close()
    database.close()
    return recording


def test_what_was_never_told_is_told_once(
    pipeline: Pipeline, services: PipelineServices, untold: Recording, add: Add
) -> None:
    told = add("told.wav")
    pipeline.run(told, only=("raw_media",))
    assert report_missing_events(pipeline.instance, services.pipeline.audit) == len(STAGES)
    assert pipeline.materialised("raw_media") == {told.id, untold.id}
    for stage in STAGES[1:]:
        assert pipeline.materialised(stage) == {untold.id}
    assert report_missing_events(pipeline.instance, services.pipeline.audit) == 0


def test_what_is_told_late_carries_its_versions(
    instance: dg.DagsterInstance, services: PipelineServices, untold: Recording
) -> None:
    report_missing_events(instance, services.pipeline.audit)
    made = {row["stage"]: row for row in services.pipeline.results.lineage(untold)}
    for stage in STAGES:
        event = instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert event is not None
        assert event.asset_materialization is not None
        tags = event.asset_materialization.tags or {}
        assert tags["dagster/data_version"] == made[stage]["output_hash"][:32]
        assert event.asset_materialization.metadata["run"].value == "run-1"


def test_the_end_of_a_dead_run_tells_what_it_made(
    pipeline: Pipeline, services: PipelineServices, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.instance.add_dynamic_partitions("recordings", [recording.partition_key])
    run = pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("ingest_recording"),
        tags={PARTITION_NAME_TAG: recording.partition_key, **NO_RUN_RETRIES},
        status=dg.DagsterRunStatus.STARTED,
    )
    services.pipeline.recordings.mark_requested([recording.id])
    database = Database(str(services.settings.database_url))
    PipelineDriver(database, run.run_id).probe(recording)
    assert fail_orphaned_runs(pipeline.instance, services) == 1
    assert pipeline.materialised("raw_media") == {recording.id}
    assert pipeline.materialised("transcript") == set()
    assert services.pipeline.recordings.pending(limit=9, unrequested=True) == [recording], "at once"
    database.close()


def test_dead_runs_of_the_ui_and_of_schedules_are_ended_too(
    pipeline: Pipeline, services: PipelineServices, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.instance.add_dynamic_partitions("recordings", [recording.partition_key])
    backfill = pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey("raw_media")}),
        tags={PARTITION_NAME_TAG: recording.partition_key},
        status=dg.DagsterRunStatus.STARTED,
    )
    pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("switch_embedding_model"),
        status=dg.DagsterRunStatus.STARTED,
    )
    database = Database(str(services.settings.database_url))
    PipelineDriver(database, backfill.run_id).probe(recording)
    assert fail_orphaned_runs(pipeline.instance, services) == 2
    assert pipeline.materialised("raw_media") == {recording.id}
    database.close()
