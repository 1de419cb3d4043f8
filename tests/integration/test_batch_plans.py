"""Plans in batch mode: provider calls go into batches only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import dagster as dg
import pytest
from pydantic import SecretStr

from pipeline_assets.definitions import build_definitions
from pipeline_assets.runs import group_into_runs
from playhead.core.records import Recording
from playhead.core.settings import Chunking, Provider, Settings
from playhead.engines.registry import build_engines
from playhead.postgres.database import Database
from playhead.postgres.pipeline.plans import Scope
from playhead.services.context import PipelineServices
from sensors.provider_batches import provider_batches_sensor
from tests.integration.conftest import Pipeline
from tests.support.batch_server import BatchAccount, batch_server

Add = Callable[[str], Recording]


@pytest.fixture
def account() -> Iterator[BatchAccount]:
    with batch_server() as account:
        yield account


@pytest.fixture
def remote(pipeline: Pipeline, account: BatchAccount) -> Pipeline:
    """Return the same installation with an embedder of a provider that has batches."""
    key = SecretStr("a key")
    changes = {
        "transcriber": "stub",
        "embedder": "openai:text-embedding-3-small@64",
        "providers": {"openai": Provider(base_url=account.url, api_key=key)},
    }
    return with_settings(pipeline, pipeline.services.settings.model_copy(update=changes))


def with_settings(pipeline: Pipeline, settings: Settings) -> Pipeline:
    services = replace(pipeline.services, settings=settings)
    services = replace(services, engines=build_engines(services.settings))
    return Pipeline(
        services, pipeline.instance, build_definitions(services.settings, services=services)
    )


def with_smaller_chunks(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline after its settings reduced the chunk size."""
    chunking = {"recording": Chunking(size=16, overlap=2, minimum=4)}
    return with_settings(
        pipeline, pipeline.services.settings.model_copy(update={"chunking": chunking})
    )


def open_batch_plan(services: PipelineServices) -> None:
    assert services.pipeline.plans.open(
        Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None, batch=True
    )


def sync_batches(pipeline: Pipeline, *, rows: Database) -> None:
    """Run the sensor and its job an hour after the last request."""
    rows.run(b"update batch_requests set created_at = created_at - interval '1 hour'")
    context = dg.build_sensor_context(
        instance=pipeline.instance, resources={"playhead": pipeline.services}
    )
    result = provider_batches_sensor(context)
    assert isinstance(result, dg.SensorResult)
    if result.run_requests:
        job = pipeline.definitions.resolve_job_def("sync_provider_batches")
        assert job.execute_in_process(instance=pipeline.instance).success


def run_pending(pipeline: Pipeline, rows: Database) -> None:
    """Run pending recordings as the sensor does, and then open plans."""
    rows.run(b"update recordings set requested_at = null")
    keys = pipeline.instance.get_dynamic_partitions("recordings")
    for run in group_into_runs(pipeline.services.pipeline.recordings.pending(limit=10), keys):
        job = pipeline.definitions.resolve_job_def(run.job)
        job.execute_in_process(
            instance=pipeline.instance, tags=dict(run.tags), run_config=run.run_config
        )
    pipeline.run_plans()


@pytest.fixture
def rows(remote: Pipeline) -> Iterator[Database]:
    database = Database(str(remote.services.settings.database_url))
    yield database
    database.close()


def test_batch_plan_uses_only_batches(
    remote: Pipeline, account: BatchAccount, rows: Database, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    remote.run(*recordings)
    changed, before = with_smaller_chunks(remote), account.direct_calls
    assert before > 0
    open_batch_plan(changed.services)
    changed.run_plans()
    assert {
        recording.status for recording in changed.services.pipeline.recordings.statuses("default")
    } == {"parked"}
    sync_batches(changed, rows=rows)
    sync_batches(changed, rows=rows)
    run_pending(changed, rows)
    assert account.direct_calls == before
    assert len(account.batches) == 1
    assert {
        recording.status for recording in changed.services.pipeline.recordings.statuses("default")
    } == {"ready"}
    assert changed.services.pipeline.plans.under_way() == []
    row = changed.services.pipeline.results.lineage(recordings[0])[-1]
    assert (row["stage"], row["recipe"]["model"]) == ("embeddings", "text-embedding-3-small")


def test_batches_sensor_requests_no_run_without_requests(remote: Pipeline, rows: Database) -> None:
    context = dg.build_sensor_context(
        instance=remote.instance, resources={"playhead": remote.services}
    )
    result = provider_batches_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
