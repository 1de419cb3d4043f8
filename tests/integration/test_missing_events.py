"""Events missing in Dagster, because a worker died before it reported them, are reported once."""

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
def unreported(settings: Settings, add: Add) -> Recording:
    """Return a recording processed by a run that Dagster does not know."""
    recording = add("unreported.wav")
    database = Database(str(settings.database_url))
    worker = PipelineDriver(database, "run-1")
    worker.run_all_stages(recording)
    worker.results.close()
    database.close()
    return recording


def test_missing_events_are_reported_once(
    pipeline: Pipeline, services: PipelineServices, unreported: Recording, add: Add
) -> None:
    reported = add("reported.wav")
    pipeline.run(reported, only=("raw_media",))
    assert report_missing_events(pipeline.instance, services.pipeline.audit) == len(STAGES)
    assert pipeline.materialised("raw_media") == {reported.id, unreported.id}
    for stage in STAGES[1:]:
        assert pipeline.materialised(stage) == {unreported.id}
    assert report_missing_events(pipeline.instance, services.pipeline.audit) == 0


def test_missing_events_have_their_data_versions(
    instance: dg.DagsterInstance, services: PipelineServices, unreported: Recording
) -> None:
    report_missing_events(instance, services.pipeline.audit)
    results = {row["stage"]: row for row in services.pipeline.results.lineage(unreported)}
    for stage in STAGES:
        event = instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert event is not None
        assert event.asset_materialization is not None
        tags = event.asset_materialization.tags or {}
        assert tags["dagster/data_version"] == results[stage]["output_hash"][:32]
        assert event.asset_materialization.metadata["run"].value == "run-1"


def test_dead_run_reports_its_results_when_it_is_failed(
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


def test_dead_runs_of_the_ui_and_schedules_are_failed_too(
    pipeline: Pipeline, services: PipelineServices, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.instance.add_dynamic_partitions("recordings", [recording.partition_key])
    ui_run = pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey("raw_media")}),
        tags={PARTITION_NAME_TAG: recording.partition_key},
        status=dg.DagsterRunStatus.STARTED,
    )
    job = pipeline.definitions.resolve_job_def("switch_embedding_model")
    pipeline.instance.create_run_for_job(
        job,
        tags=dict(job.run_tags),
        status=dg.DagsterRunStatus.STARTED,
    )
    database = Database(str(services.settings.database_url))
    PipelineDriver(database, ui_run.run_id).probe(recording)
    assert fail_orphaned_runs(pipeline.instance, services) == 2
    assert pipeline.materialised("raw_media") == {recording.id}
    database.close()
