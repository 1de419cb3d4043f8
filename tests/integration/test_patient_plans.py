"""A plan that may wait a day: its calls go with batches, and nothing else is asked of anybody."""

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
    """The same installation with vectors from a provider that takes batches."""
    key = SecretStr("a key")
    changes = {
        "transcriber": "instant",
        "embedder": "openai:text-embedding-3-small@64",
        "providers": {"openai": Provider(base_url=account.url, api_key=key)},
    }
    return over(pipeline, pipeline.services.settings.model_copy(update=changes))


def over(pipeline: Pipeline, settings: Settings) -> Pipeline:
    services = replace(pipeline.services, settings=settings)
    services = replace(services, engines=build_engines(services.settings))
    return Pipeline(
        services, pipeline.instance, build_definitions(services.settings, services=services)
    )


def smaller(pipeline: Pipeline) -> Pipeline:
    """Once its settings cut recordings into smaller passages."""
    chunking = {"recording": Chunking(size=16, overlap=2, minimum=4)}
    return over(pipeline, pipeline.services.settings.model_copy(update={"chunking": chunking}))


def decide(services: PipelineServices) -> None:
    assert services.pipeline.plans.open(
        Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None, batch=True
    )


def look_after_batches(pipeline: Pipeline, *, quiet: Database) -> None:
    """The sensor and its run, a good while after the last request."""
    quiet.run(b"update batch_requests set created_at = created_at - interval '1 hour'")
    context = dg.build_sensor_context(
        instance=pipeline.instance, resources={"playhead": pipeline.services}
    )
    asked = provider_batches_sensor(context)
    assert isinstance(asked, dg.SensorResult)
    if asked.run_requests:
        job = pipeline.definitions.resolve_job_def("sync_provider_batches")
        assert job.execute_in_process(instance=pipeline.instance).success


def carry_on(pipeline: Pipeline, rows: Database) -> None:
    """What waits, as the uploads sensor asks for it, and then what plans want."""
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


def test_a_patient_plan_asks_in_batches_alone(
    remote: Pipeline, account: BatchAccount, rows: Database, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    remote.run(*recordings)
    changed, before = smaller(remote), account.direct_calls
    assert before > 0
    decide(changed.services)
    changed.run_plans()
    assert {
        recording.status for recording in changed.services.pipeline.recordings.statuses("default")
    } == {"parked"}
    look_after_batches(changed, quiet=rows)
    look_after_batches(changed, quiet=rows)
    carry_on(changed, rows)
    assert account.direct_calls == before
    assert len(account.batches) == 1
    assert {
        recording.status for recording in changed.services.pipeline.recordings.statuses("default")
    } == {"ready"}
    assert changed.services.pipeline.plans.under_way() == []
    made = changed.services.pipeline.results.lineage(recordings[0])[-1]
    assert (made["stage"], made["recipe"]["model"]) == ("embeddings", "text-embedding-3-small")


def test_nothing_that_waits_means_no_run_for_batches(remote: Pipeline, rows: Database) -> None:
    context = dg.build_sensor_context(
        instance=remote.instance, resources={"playhead": remote.services}
    )
    asked = provider_batches_sensor(context)
    assert isinstance(asked, dg.SensorResult)
    assert not asked.run_requests
