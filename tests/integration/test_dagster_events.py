"""Batched Dagster events: none is lost, order is preserved, and few transactions are used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.assets.checks import DESCRIPTIONS
from pipeline_assets.definitions import build_definitions
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.postgres.database_urls import create_database
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.services.context import PipelineServices
from resources.dagster_storage import PlayheadStorage
from tests.integration.conftest import Pipeline

_ROOT = Path(__file__).parents[2]
OpenInstance = Callable[[], dg.DagsterInstance]


@pytest.fixture
def open_instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenInstance]:
    """Yield a function that opens Dagster by ``dagster.yaml``, like another process."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    opened: list[dg.DagsterInstance] = []

    def open_next() -> dg.DagsterInstance:
        opened.append(dg.DagsterInstance.from_config(str(_ROOT)))
        return opened[-1]

    yield open_next
    for instance in opened:
        instance.dispose()


@pytest.fixture
def instance(open_instance: OpenInstance) -> dg.DagsterInstance:
    return open_instance()


def report_event(instance: dg.DagsterInstance, stage: str, partition: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition=partition))


def reported_partitions(instance: dg.DagsterInstance, stage: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(stage)))


def test_event_is_visible_at_once_to_its_own_process(instance: dg.DagsterInstance) -> None:
    for partition in "abc":
        report_event(instance, "chunks", partition)
    assert reported_partitions(instance, "chunks") == {"a", "b", "c"}


def test_event_is_visible_to_other_processes_soon(open_instance: OpenInstance) -> None:
    writer, reader = open_instance(), open_instance()
    report_event(writer, "chunks", "a")
    deadline = time.monotonic() + 5
    while not reported_partitions(reader, "chunks"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_events_are_flushed_when_a_process_ends(open_instance: OpenInstance) -> None:
    writer = open_instance()
    report_event(writer, "chunks", "a")
    writer.dispose()
    assert reported_partitions(open_instance(), "chunks") == {"a"}


def test_events_keep_their_order_across_batches(instance: dg.DagsterInstance) -> None:
    partitions = [f"{number:03}" for number in range(450)]
    for partition in partitions:
        report_event(instance, "chunks", partition)
    found = instance.fetch_materializations(dg.AssetKey("chunks"), limit=1000, ascending=True)
    assert [record.partition_key for record in found.records] == partitions


def test_assets_of_a_batch_show_their_newest_event(instance: dg.DagsterInstance) -> None:
    for partition in "ab":
        for stage in STAGES:
            report_event(instance, stage, partition)
    for stage in STAGES:
        newest = instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert newest is not None
        assert newest.asset_materialization is not None
        assert newest.asset_materialization.partition == "b"


def test_event_tags_can_be_queried(instance: dg.DagsterInstance) -> None:
    for partition in "ab":
        event = dg.AssetMaterialization(
            "chunks", partition=partition, tags={"dagster/data_version": f"version of {partition}"}
        )
        instance.report_runless_asset_event(event)
    tags = instance.event_log_storage.get_event_tags_for_asset(dg.AssetKey("chunks"))
    assert {tag["dagster/data_version"] for tag in tags} == {"version of a", "version of b"}


def test_run_is_stored_completely_in_few_transactions(
    services: PipelineServices, instance: dg.DagsterInstance, add: Callable[[str], Recording]
) -> None:
    definitions = build_definitions(services.settings, engines=services.engines)
    pipeline = Pipeline(services, instance, definitions)
    recordings = [add(f"{number}.wav") for number in range(20)]
    before = commits(services.settings)
    run = pipeline.run(*recordings)
    assert commits(services.settings) - before < 120, "there are 600 events"
    assert run.success
    for stage in STAGES:
        assert pipeline.materialised(stage) == {recording.id for recording in recordings}
    for stage, check in DESCRIPTIONS:
        key = dg.AssetCheckKey(dg.AssetKey(stage), check)
        evaluations = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        assert [evaluation.status.value for evaluation in evaluations] == ["SUCCEEDED"] * len(
            recordings
        )
    kinds = [log.dagster_event_type for log in instance.all_logs(run.run_id) if log.dagster_event]
    assert kinds[-1] is dg.DagsterEventType.RUN_SUCCESS
    assert kinds.count(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED) == 100
    assert kinds.index(dg.DagsterEventType.ASSET_MATERIALIZATION) > kinds.index(
        dg.DagsterEventType.STEP_START
    )


def commits(settings: Settings) -> int:
    url = str(settings.database_url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        row = connection.execute(
            "select xact_commit from pg_stat_database where datname = current_database() || %s",
            ("_dagster",),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_partition_keys_keep_their_order_across_processes(open_instance: OpenInstance) -> None:
    instance, other = open_instance(), open_instance()
    instance.add_dynamic_partitions("recordings", ["b", "a"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["b", "a"]
    other.add_dynamic_partitions("recordings", ["c"])
    instance.add_dynamic_partitions("recordings", ["0"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["b", "a", "c", "0"]
    assert list(other.get_dynamic_partitions("recordings")) == ["b", "a", "c", "0"]


def test_deleted_partition_key_is_not_listed(open_instance: OpenInstance) -> None:
    instance, other = open_instance(), open_instance()
    instance.add_dynamic_partitions("recordings", ["a", "b"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["a", "b"]
    instance.delete_dynamic_partition("recordings", "a")
    assert list(instance.get_dynamic_partitions("recordings")) == ["b"]
    assert list(other.get_dynamic_partitions("recordings")) == ["b"]


def test_existing_partition_keys_are_selected_from_any_keys(open_instance: OpenInstance) -> None:
    instance, other = open_instance(), open_instance()
    added = [f"key {number}" for number in range(3000)]
    instance.add_dynamic_partitions("recordings", added)
    instance.add_dynamic_partitions("others", ["a key of another name"])
    keys = [*added, added[0], "", "never there", "a key of another name"]
    assert other.get_existing_dynamic_partitions("recordings", keys) == set(added)
    instance.delete_dynamic_partition("recordings", added[0])
    assert other.get_existing_dynamic_partitions("recordings", keys) == set(added[1:])
    assert other.get_existing_dynamic_partitions("recordings", []) == set()


def test_buffered_events_survive_a_restart_of_postgres(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "postgres")
    server.attach()
    create_database(server.url("postgres"), "dagster")
    url = server.url("dagster").replace("postgresql://", "postgresql+psycopg2://")
    with dg.DagsterInstance.ephemeral() as instance:
        storage = PlayheadStorage(url)
        instance._event_storage = storage.event_log_storage
        report_event(instance, "chunks", "a")
        server.stop()
        report_event(instance, "chunks", "b")
        server.attach()
        assert reported_partitions(instance, "chunks") == {"a", "b"}
    server.stop()


def test_event_that_cannot_be_stored_does_not_affect_others(
    instance: dg.DagsterInstance,
) -> None:
    report_event(instance, "chunks", "a")
    report_event(instance, "chunks", "nul \x00")
    report_event(instance, "chunks", "b")
    assert reported_partitions(instance, "chunks") == {"a", "b"}
