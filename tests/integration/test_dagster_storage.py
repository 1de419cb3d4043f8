"""Dagster's own state: stored in our Postgres and home without settings, across restarts."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.backfill import execute_backfill_iteration

from pipeline_assets.definitions import build_definitions
from playhead.core.settings import Settings, load_settings
from playhead.postgres.database_urls import create_database, dagster_url, with_database
from playhead.postgres.embedded.server import EmbeddedServer
from resources.dagster_storage import PlayheadStorage

_ROOT = Path(__file__).parents[2]


def test_dagster_state_is_stored_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with dg.DagsterInstance.from_config(str(_ROOT)) as instance:
        instance.add_dynamic_partitions("recordings", ["a"])
        assert instance.root_directory == str(tmp_path / "dagster")
    with dg.DagsterInstance.from_config(str(_ROOT)) as instance:
        assert list(instance.get_dynamic_partitions("recordings")) == ["a"]
    EmbeddedServer(load_settings().home / "postgres").stop()


def test_dagster_storage_survives_a_restart_of_postgres(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "postgres")
    server.attach()
    create_database(server.url("postgres"), "dagster")
    storage = PlayheadStorage(
        server.url("dagster").replace("postgresql://", "postgresql+psycopg2://")
    )
    storage.event_log_storage.add_dynamic_partitions("recordings", ["a"])
    server.stop()
    server.attach()
    assert list(storage.event_log_storage.get_dynamic_partitions("recordings")) == ["a"]
    assert storage.run_storage.get_runs_count() == 0
    server.stop()


def test_dagster_has_its_own_database_on_the_same_server(server: EmbeddedServer) -> None:
    create_database(server.url("postgres"), "ours")
    url = dagster_url(Settings(database_url=server.url("ours")))
    assert url.startswith("postgresql+psycopg2://")
    assert with_database(url, "x") == with_database(
        server.url("ours").replace("postgresql://", "postgresql+psycopg2://"), "x"
    )
    assert "/ours_dagster?" in url


@pytest.mark.filterwarnings("ignore:Error loading repository location")
def test_backfill_waits_for_an_unreachable_code_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    unreachable = GrpcServerTarget("localhost", None, str(tmp_path / "nobody"), "playhead")
    graph = build_definitions(Settings(home=tmp_path)).resolve_asset_graph()
    with (
        dg.DagsterInstance.from_config(str(_ROOT)) as instance,
        WorkspaceProcessContext(instance, unreachable) as daemon,
    ):
        instance.add_dynamic_partitions("recordings", ["a"])
        instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                backfill_id="chosen",
                asset_graph=graph,
                partition_names=None,
                asset_selection=[dg.AssetKey("raw_media")],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=True,
                title=None,
                description=None,
                run_config=None,
            )
        )
        list(execute_backfill_iteration(daemon, logging.getLogger()))
        backfill = instance.get_backfill("chosen")
        assert backfill is not None
        assert backfill.status is BulkActionStatus.REQUESTED
    EmbeddedServer(load_settings().home / "postgres").stop()
