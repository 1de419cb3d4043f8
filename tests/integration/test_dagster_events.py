"""Events that wait: nobody misses one, none is out of order, and few transactions store many."""

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
Open = Callable[[], dg.DagsterInstance]


@pytest.fixture
def open_instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens Dagster as ``dagster.yaml`` has it; each time as another process would."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    opened: list[dg.DagsterInstance] = []

    def open_one() -> dg.DagsterInstance:
        opened.append(dg.DagsterInstance.from_config(str(_ROOT)))
        return opened[-1]

    yield open_one
    for instance in opened:
        instance.dispose()


@pytest.fixture
def instance(open_instance: Open) -> dg.DagsterInstance:
    return open_instance()


def tell(instance: dg.DagsterInstance, stage: str, partition: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition=partition))


def told(instance: dg.DagsterInstance, stage: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(stage)))


def test_a_process_sees_at_once_what_it_told(instance: dg.DagsterInstance) -> None:
    for partition in "abc":
        tell(instance, "chunks", partition)
    assert told(instance, "chunks") == {"a", "b", "c"}


def test_other_processes_see_it_within_moments(open_instance: Open) -> None:
    teller, reader = open_instance(), open_instance()
    tell(teller, "chunks", "a")
    deadline = time.monotonic() + 5
    while not told(reader, "chunks"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_that_ends_in_order_leaves_nothing_untold(open_instance: Open) -> None:
    teller = open_instance()
    tell(teller, "chunks", "a")
    teller.dispose()
    assert told(open_instance(), "chunks") == {"a"}


def test_events_keep_their_order_also_when_they_are_many(instance: dg.DagsterInstance) -> None:
    partitions = [f"{number:03}" for number in range(450)]
    for partition in partitions:
        tell(instance, "chunks", partition)
    found = instance.fetch_materializations(dg.AssetKey("chunks"), limit=1000, ascending=True)
    assert [record.partition_key for record in found.records] == partitions


def test_every_asset_of_a_batch_shows_its_newest_event(instance: dg.DagsterInstance) -> None:
    for partition in "ab":
        for stage in STAGES:
            tell(instance, stage, partition)
    for stage in STAGES:
        newest = instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert newest is not None
        assert newest.asset_materialization is not None
        assert newest.asset_materialization.partition == "b"


def test_tags_of_an_event_can_be_searched_for(instance: dg.DagsterInstance) -> None:
    for partition in "ab":
        event = dg.AssetMaterialization(
            "chunks", partition=partition, tags={"dagster/data_version": f"version of {partition}"}
        )
        instance.report_runless_asset_event(event)
    tags = instance.event_log_storage.get_event_tags_for_asset(dg.AssetKey("chunks"))
    assert {tag["dagster/data_version"] for tag in tags} == {"version of a", "version of b"}


def test_a_run_is_stored_whole_in_few_transactions(
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
        verdicts = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        assert [verdict.status.value for verdict in verdicts] == ["SUCCEEDED"] * len(recordings)
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


def test_keys_are_seen_in_their_order_whoever_added_them(open_instance: Open) -> None:
    instance, other = open_instance(), open_instance()
    instance.add_dynamic_partitions("recordings", ["b", "a"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["b", "a"]
    other.add_dynamic_partitions("recordings", ["c"])
    instance.add_dynamic_partitions("recordings", ["0"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["b", "a", "c", "0"]
    assert list(other.get_dynamic_partitions("recordings")) == ["b", "a", "c", "0"]


def test_a_key_that_was_taken_away_is_seen_no_longer(open_instance: Open) -> None:
    instance, other = open_instance(), open_instance()
    instance.add_dynamic_partitions("recordings", ["a", "b"])
    assert list(instance.get_dynamic_partitions("recordings")) == ["a", "b"]
    instance.delete_dynamic_partition("recordings", "a")
    assert list(instance.get_dynamic_partitions("recordings")) == ["b"]
    assert list(other.get_dynamic_partitions("recordings")) == ["b"]


def test_of_any_keys_those_are_told_that_are_there(open_instance: Open) -> None:
    instance, other = open_instance(), open_instance()
    many = [f"key {number}" for number in range(3000)]
    instance.add_dynamic_partitions("recordings", many)
    instance.add_dynamic_partitions("others", ["a key of another name"])
    asked = [*many, many[0], "", "never there", "a key of another name"]
    assert other.get_existing_dynamic_partitions("recordings", asked) == set(many)
    instance.delete_dynamic_partition("recordings", many[0])
    assert other.get_existing_dynamic_partitions("recordings", asked) == set(many[1:])
    assert other.get_existing_dynamic_partitions("recordings", []) == set()


def test_a_restart_of_postgres_loses_nothing_that_waits(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "postgres")
    server.attach()
    create_database(server.url("postgres"), "dagster")
    url = server.url("dagster").replace("postgresql://", "postgresql+psycopg2://")
    with dg.DagsterInstance.ephemeral() as instance:
        storage = PlayheadStorage(url)
        instance._event_storage = storage.event_log_storage
        tell(instance, "chunks", "a")
        server.stop()
        tell(instance, "chunks", "b")
        server.attach()
        assert told(instance, "chunks") == {"a", "b"}
    server.stop()


def test_an_event_that_cannot_be_stored_does_not_take_others_with_it(
    instance: dg.DagsterInstance,
) -> None:
    tell(instance, "chunks", "a")
    tell(instance, "chunks", "nul \x00")
    tell(instance, "chunks", "b")
    assert told(instance, "chunks") == {"a", "b"}
