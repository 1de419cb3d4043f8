"""Pruning Dagster's history: what is old goes, and every partition is shown as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.ops import prune
from pipeline_assets.ops.prune import prune_history
from pipeline_assets.policies import HISTORY_DAYS
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.database_urls import dagster_tables_url
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

_ROOT = Path(__file__).parents[2]

Add = Callable[[str], Recording]


@pytest.fixture
def stored(
    settings: Settings, services: PipelineServices, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline whose Dagster keeps its state in Postgres, as in production."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    with dg.DagsterInstance.from_config(str(_ROOT)) as instance:
        yield Pipeline(services, instance, build_definitions(settings, engines=services.engines))


def prune_all(pipeline: Pipeline, days: int = HISTORY_DAYS + 1) -> tuple[int, int]:
    """As it will be in so many days."""
    now = datetime.now(UTC) + timedelta(days=days)
    return prune_history(pipeline.instance, pipeline.services.settings, now)


def events(pipeline: Pipeline) -> dict[str | None, int]:
    with psycopg.connect(dagster_tables_url(pipeline.services.settings)) as connection:
        rows = connection.execute(
            "select dagster_event_type, count(*) from event_logs group by dagster_event_type"
        ).fetchall()
    return dict(rows)


def failed_runs(pipeline: Pipeline, asset: str) -> dict[str, str]:
    """The run that failed last of each partition, as Dagster looks for it."""
    storage = pipeline.instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey(asset)
    )
    runs = {
        partition: pipeline.instance.get_run_by_id(run) for partition, (run, _) in attempts.items()
    }
    return {partition: run.status.value for partition, run in runs.items() if run is not None}


def test_each_partition_keeps_its_newest_materialisation_alone(stored: Pipeline, add: Add) -> None:
    first, second = add("a.wav"), add("b.wav")
    for _ in range(3):
        stored.run(first, second)
    newest = {
        stage: stored.instance.get_latest_materialization_event(dg.AssetKey(stage))
        for stage in STAGES
    }
    prune_all(stored)
    assert events(stored) == {"ASSET_MATERIALIZATION": 10}
    assert stored.instance.get_runs_count() == 0
    for stage in STAGES:
        assert stored.materialised(stage) == {first.id, second.id}
        assert stored.instance.get_latest_materialization_event(dg.AssetKey(stage)) == newest[stage]
    for log in (stored.services.settings.home / "dagster" / "logs").rglob("*"):
        assert not log.is_file()


def test_the_newest_verdict_of_each_check_stays(stored: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    stored.run(recording)
    stored.run(recording)
    prune_all(stored)
    for stage, check in (("transcript", "has_words"), ("embeddings", "every_chunk_has_vector")):
        [kept] = stored.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(stage), check), limit=10
        )
        assert kept.partition == recording.id
        assert kept.status.value == "SUCCEEDED"


def test_a_failed_partition_stays_red_and_says_why(stored: Pipeline, add: Add) -> None:
    good, bad = add("a.wav"), add("not_sound.txt")
    stored.run(good, bad)
    stored.run(good, bad)
    before = failed_runs(stored, "raw_media")
    assert before == {bad.id: "FAILURE"}
    prune_all(stored)
    assert failed_runs(stored, "raw_media") == before
    assert stored.instance.get_runs_count() == 1
    [why] = stored.instance.fetch_observations(dg.AssetKey("raw_media"), limit=5).records
    assert why.asset_observation is not None
    assert why.asset_observation.partition == bad.id
    assert prune_all(stored) == (0, 0), "what is kept is not looked at every night"


def test_what_is_young_is_not_touched(stored: Pipeline, add: Add) -> None:
    stored.run(add("a.wav"))
    before = events(stored)
    assert prune_all(stored, days=HISTORY_DAYS - 1) == (0, 0)
    assert events(stored) == before


def test_what_is_told_outside_of_runs_is_pruned_too(stored: Pipeline) -> None:
    for number in range(3):
        stored.instance.report_runless_asset_event(
            dg.AssetMaterialization("document", partition="a", metadata={"number": number})
        )
    document = dg.AssetKey("document")
    assert len(stored.instance.fetch_materializations(document, limit=5).records) == 3
    prune_all(stored)
    [kept] = stored.instance.fetch_materializations(document, limit=5).records
    assert kept.asset_materialization is not None
    assert kept.asset_materialization.metadata["number"].value == 2


def test_many_runs_go_in_batches(
    stored: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "RUNS_PER_BATCH", 1)
    monkeypatch.setattr(prune, "CHECKS_PER_BATCH", 3)
    recording = add("a.wav")
    for _ in range(3):
        stored.run(recording)
    _, runs = prune_all(stored)
    assert runs == 3
    assert events(stored) == {"ASSET_MATERIALIZATION": 5}


def test_a_night_without_time_leaves_the_rest_to_the_next(
    stored: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.run(add("a.wav"))
    monkeypatch.setattr(prune, "MAX_PRUNING_SECONDS", 0)
    assert prune_all(stored) == (0, 0)


def test_the_nights_job_runs(stored: Pipeline, add: Add) -> None:
    ours = add("a.wav")
    stored.run(ours)
    stored.services.deletion.delete([ours.id])  # and then somebody killed it
    job = stored.definitions.resolve_job_def("prune_history")
    assert job.execute_in_process(instance=stored.instance).success
    assert stored.services.deletion.unfinished() == []
    assert stored.materialised("raw_media") == set()
