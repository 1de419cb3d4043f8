"""Dagster's definitions, and configuration files that must agree with each other."""

from __future__ import annotations

import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from pipeline_assets.definitions import build_definitions
from playhead.core.records import STAGES
from playhead.core.settings import Settings
from playhead.engines.registry import Engines
from tests.integration.conftest import stub_engines

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def engines() -> Engines:
    return stub_engines()


@pytest.fixture(scope="module")
def definitions(engines: Engines) -> dg.Definitions:
    return build_definitions(Settings(home=Path("unused")), engines=engines)


def test_definitions_are_valid(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize("stage", STAGES)
def test_asset_of_every_stage_has_the_metadata_shown_to_people(
    definitions: dg.Definitions, stage: str
) -> None:
    graph = definitions.resolve_asset_graph()
    node = graph.get(dg.AssetKey(stage))
    assert node.group_name == "recordings"
    assert node.owners
    assert node.kinds
    assert node.description
    assert node.code_version
    assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
    assert graph.get_check_keys_for_assets({dg.AssetKey(stage)})
    step = graph.assets_def_for_key(dg.AssetKey(stage)).op
    assert step.retry_policy is not None
    assert step.pool


def test_assets_depend_on_each_other_in_data_flow_order(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    parents = {
        stage: {key.to_user_string() for key in graph.get(dg.AssetKey(stage)).parent_keys}
        for stage in STAGES
    }
    assert parents == {
        "raw_media": set(),
        "transcript": {"raw_media"},
        "document": {"transcript"},
        "chunks": {"transcript", "document"},
        "embeddings": {"chunks"},
    }


def test_every_job_has_a_time_limit(definitions: dg.Definitions) -> None:
    for job in definitions.jobs or []:
        resolved = definitions.resolve_job_def(job.name)
        assert int(resolved.tags["dagster/max_runtime"]) > 0


def test_sensors_and_schedules_run_by_default(definitions: dg.Definitions) -> None:
    assert {sensor.name for sensor in definitions.sensors or []} == {
        "inbox_sensor",
        "pending_recordings_sensor",
        "orphaned_runs_sensor",
        "rebuild_plans_sensor",
        "provider_batches_sensor",
        "run_failure_sensor",
        "lost_retries_sensor",
    }
    for sensor in definitions.sensors or []:
        assert isinstance(sensor, dg.SensorDefinition)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    for schedule in definitions.schedules or []:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_workspace_and_dg_project_load_the_same_module() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    [entry] = yaml.safe_load((_ROOT / "workspace.yaml").read_text())["load_from"]
    module = entry["python_module"]
    assert module["module_name"] == project["code_location_target_module"]
    assert module["location_name"] == project["code_location_name"]


def test_requirements_are_pinned_with_hashes() -> None:
    for name in ("requirements.txt", "requirements-models.txt"):
        text = (_ROOT / name).read_text()
        assert "://" not in text
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pins
        assert all("==" in pin for pin in pins)
        assert text.count("--hash=sha256:") >= len(pins)
