"""Pruning of Dagster's history: old events are deleted, and every partition looks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.ops.prune import PruneLimits, prune_history
from pipeline_assets.policies import HISTORY_DAYS
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.database_urls import dagster_tables_url
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

_ROOT = Path(__file__).parents[2]

Add = Callable[[str], Recording]


@pytest.fixture
def pipeline(
    settings: Settings, services: PipelineServices, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Yield a pipeline whose Dagster stores its state in Postgres, as in production."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    with dg.DagsterInstance.from_config(str(_ROOT)) as instance:
        yield Pipeline(services, instance, build_definitions(settings, engines=services.engines))


def prune_after(
    pipeline: Pipeline, limits: PruneLimits | None = None, *, days: int = HISTORY_DAYS + 1
) -> tuple[int, int]:
    """Prune as of so many days from now."""
    now = datetime.now(UTC) + timedelta(days=days)
    return prune_history(pipeline.instance, pipeline.services.settings, now, limits)


def count_events(pipeline: Pipeline) -> dict[str | None, int]:
    with psycopg.connect(dagster_tables_url(pipeline.services.settings)) as connection:
        rows = connection.execute(
            "select dagster_event_type, count(*) from event_logs group by dagster_event_type"
        ).fetchall()
    return dict(rows)


def failed_runs(pipeline: Pipeline, asset: str) -> dict[str, str]:
    """Return the status of the last failed run of each partition, as Dagster finds it."""
    storage = pipeline.instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey(asset)
    )
    runs = {
        partition: pipeline.instance.get_run_by_id(run) for partition, (run, _) in attempts.items()
    }
    return {partition: run.status.value for partition, run in runs.items() if run is not None}


def test_newest_materialization_of_each_partition_is_kept(pipeline: Pipeline, add: Add) -> None:
    first, second = add("a.wav"), add("b.wav")
    for _ in range(3):
        pipeline.run(first, second)
    newest = {
        stage: pipeline.instance.get_latest_materialization_event(dg.AssetKey(stage))
        for stage in STAGES
    }
    prune_after(pipeline)
    assert count_events(pipeline) == {"ASSET_MATERIALIZATION": 10}
    assert pipeline.instance.get_runs_count() == 0
    for stage in STAGES:
        assert pipeline.materialised(stage) == {first.id, second.id}
        assert (
            pipeline.instance.get_latest_materialization_event(dg.AssetKey(stage)) == newest[stage]
        )
    for log in (pipeline.services.settings.home / "dagster" / "logs").rglob("*"):
        assert not log.is_file()


def test_newest_result_of_each_check_is_kept(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    pipeline.run(recording)
    prune_after(pipeline)
    for stage, check in (("transcript", "has_words"), ("embeddings", "every_chunk_has_vector")):
        [record] = pipeline.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(stage), check), limit=10
        )
        assert record.partition == recording.partition_key
        assert record.status.value == "SUCCEEDED"


def test_failed_partition_stays_failed_with_its_reason(pipeline: Pipeline, add: Add) -> None:
    good, bad = add("a.wav"), add("not_sound.txt")
    pipeline.run(good, bad)
    pipeline.run(good, bad)
    before = failed_runs(pipeline, "raw_media")
    assert before == {bad.partition_key: "FAILURE"}
    prune_after(pipeline)
    assert failed_runs(pipeline, "raw_media") == before
    assert pipeline.instance.get_runs_count() == 1
    [observation] = pipeline.instance.fetch_observations(dg.AssetKey("raw_media"), limit=5).records
    assert observation.asset_observation is not None
    assert observation.asset_observation.partition == bad.partition_key
    assert prune_after(pipeline) == (0, 0), "kept history is not processed every night"


def test_recent_history_is_not_pruned(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"))
    before = count_events(pipeline)
    assert prune_after(pipeline, days=HISTORY_DAYS - 1) == (0, 0)
    assert count_events(pipeline) == before


def test_events_outside_of_runs_are_pruned_too(pipeline: Pipeline) -> None:
    for number in range(3):
        pipeline.instance.report_runless_asset_event(
            dg.AssetMaterialization("document", partition="a", metadata={"number": number})
        )
    document = dg.AssetKey("document")
    assert len(pipeline.instance.fetch_materializations(document, limit=5).records) == 3
    prune_after(pipeline)
    [record] = pipeline.instance.fetch_materializations(document, limit=5).records
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["number"].value == 2


def test_many_runs_are_pruned_in_batches(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    for _ in range(3):
        pipeline.run(recording)
    _, runs = prune_after(pipeline, PruneLimits(runs_per_batch=1, checks_per_batch=3))
    assert runs == 3
    assert count_events(pipeline) == {"ASSET_MATERIALIZATION": 5}


def test_pruning_stops_at_its_time_limit(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"))
    assert prune_after(pipeline, PruneLimits(max_seconds=0)) == (0, 0)


def test_nightly_job_prunes_and_finishes_deletions(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    pipeline.services.deletion.delete([recording.id])  # the process is killed here
    job = pipeline.definitions.resolve_job_def("prune_history")
    assert job.execute_in_process(instance=pipeline.instance).success
    assert pipeline.services.deletion.unfinished() == []
    assert pipeline.materialised("raw_media") == set()
