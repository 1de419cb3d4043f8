"""Parked recordings: they wait for a provider without failing, are reported, and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from psycopg.rows import DictRow

from pipeline_assets.definitions import build_definitions
from pipeline_assets.worker.in_process_runner import InProcessRunner
from playhead.core.call_context import CallContext, current_call_context
from playhead.core.errors import CircuitOpen, ClaimLost, Parked, RateLimited
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import Engine, Recording, Transcript
from playhead.core.usage import Usage
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.coordination.liveness import WORKER
from playhead.postgres.database import Database
from playhead.postgres.pipeline.plans import Scope
from playhead.postgres.pipeline.stage_results import MAX_ATTEMPTS
from playhead.search.service import SearchService
from playhead.services.context import PipelineServices
from sensors.pending_recordings import pending_recordings_sensor
from tests.integration.conftest import Pipeline
from tests.support import factories
from tests.support.provider_clients import ClientUnderTest, open_provider
from tests.support.provider_error_table import error_answer
from tests.support.servers import wait_until

Add = Callable[[str], Recording]

LATER = timedelta(hours=1)


def make_rate_limited() -> Parked:
    return RateLimited("Come again.", until=datetime.now(UTC) + LATER, remedy="Wait.")


class ParkingTranscriber(StubTranscriber):
    """A transcriber that raises ``errors`` by recording, and records its call contexts."""

    def __init__(self) -> None:
        self.errors: dict[str, Callable[[], Parked]] = {}
        self.contexts: list[CallContext] = []

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        context = current_call_context()
        self.contexts.append(context)
        for identity in context.recordings:
            if error := self.errors.get(identity):
                raise error()
        return super().transcribe(media, **how)


class CallingEmbedder(StubEmbedder):
    """An embedder that calls a provider first, for $0.15 per recording."""

    def __init__(self) -> None:
        self.provider: ClientUnderTest | None = None
        self.contexts: list[CallContext] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.contexts.append(current_call_context())
        if self.provider:
            self.provider.call(Usage(input_tokens=15 * len(self.contexts[-1].recordings)))
        return super().embed(texts)


@pytest.fixture
def transcriber() -> ParkingTranscriber:
    return ParkingTranscriber()


@pytest.fixture
def embedder() -> CallingEmbedder:
    return CallingEmbedder()


@pytest.fixture
def services(
    services: PipelineServices, transcriber: ParkingTranscriber, embedder: CallingEmbedder
) -> PipelineServices:
    embedders = EmbedderRegistry("stub", {"stub": lambda: embedder})
    return replace(
        services, engines=replace(services.engines, transcriber=transcriber, embedders=embedders)
    )


@pytest.fixture
def rows(services: PipelineServices) -> Iterator[Database]:
    database = Database(str(services.settings.database_url))
    yield database
    database.close()


@pytest.fixture
def pipeline(services: PipelineServices, instance: dg.DagsterInstance) -> Pipeline:
    return Pipeline(services, instance, build_definitions(services.settings, services=services))


@pytest.fixture
def runner(services: PipelineServices, instance: dg.DagsterInstance) -> InProcessRunner:
    return InProcessRunner(
        services, instance, build_definitions(services.settings, services=services)
    )


def statuses(services: PipelineServices) -> list[str]:
    return [status.status for status in services.pipeline.recordings.statuses("default")]


def pending_ids(services: PipelineServices) -> list[str]:
    return [
        recording.id
        for recording in services.pipeline.recordings.pending(limit=999, unrequested=True)
    ]


def expire_parking(rows: Database) -> None:
    rows.run(b"update parked_recordings set until = now() - interval '1 second'")


def stage_row(rows: Database, stage: str) -> DictRow:
    row = rows.row(b"select * from stage_results where stage = %(stage)s", stage=stage)
    assert row is not None
    return row


def test_parked_recording_does_not_stop_others_or_fail_the_run(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber, rows: Database
) -> None:
    recordings = [add(f"{number}.wav") for number in range(40)]
    parked = recordings[21]
    transcriber.errors[parked.id] = make_rate_limited
    run = pipeline.run(*recordings)
    assert run.success
    assert sorted(statuses(pipeline.services)) == ["parked"] + ["ready"] * 39
    assert pipeline.materialised("embeddings") == {recording.id for recording in recordings} - {
        parked.id
    }
    assert pipeline.services.pipeline.recordings.dead_letters() == []
    records = pipeline.instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey("transcript"), asset_partitions=[parked.partition_key]),
        limit=9,
    ).records
    assert [
        event.asset_observation.description for event in records if event.asset_observation
    ] == ["Come again."]


def test_parked_status_shows_until_when_and_why(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber
) -> None:
    recording = add("a.wav")
    transcriber.errors[recording.id] = make_rate_limited
    pipeline.run(recording)
    status = factories.get_status(pipeline.services.pipeline.recordings, recording)
    day = f"{datetime.now(UTC) + LATER:%Y-%m-%d}"
    assert status.detail.startswith(f"until {day}")
    assert status.detail.endswith("UTC: Come again. Wait.")
    assert status.error is None


def test_parked_recording_is_pending_after_its_time(
    pipeline: Pipeline,
    runner: InProcessRunner,
    add: Add,
    transcriber: ParkingTranscriber,
    rows: Database,
) -> None:
    recording = add("a.wav")
    transcriber.errors[recording.id] = make_rate_limited
    runner.drain()
    assert pending_ids(pipeline.services) == []
    assert tick(pipeline) == []
    transcriber.errors.clear()
    expire_parking(rows)
    assert pending_ids(pipeline.services) == [recording.id]
    assert len(tick(pipeline)) == 1
    pipeline.run(recording)
    assert statuses(pipeline.services) == ["ready"]
    assert factories.count_rows(rows, b"parked_recordings") == 0


def tick(pipeline: Pipeline) -> Sequence[dg.RunRequest]:
    context = dg.build_sensor_context(
        instance=pipeline.instance, resources={"playhead": pipeline.services}
    )
    result = pending_recordings_sensor(context)
    return (result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def test_expired_parking_is_processed_by_the_worker_first(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber, rows: Database
) -> None:
    recording = add("a.wav")
    transcriber.errors[recording.id] = make_rate_limited
    pipeline.run(recording)
    rows.run(b"update recordings set created_at = now() - interval '1 day'")
    expire_parking(rows)
    with pipeline.services.liveness.hold(WORKER):
        assert tick(pipeline) == []
    assert pending_ids(pipeline.services) == [recording.id]


def test_repeated_parking_is_not_counted_as_crashes(rows: Database) -> None:
    recording, worker = factories.add_recording(rows), factories.PipelineDriver(rows)
    inputs = {"sha256": recording.sha256}
    for _ in range(MAX_ATTEMPTS + 2):
        with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as claim:
            worker.results.park(claim, make_rate_limited())
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs):
        pass  # the first worker that dies here
    assert worker.results.dead_letter_crashed() == 0
    row = stage_row(rows, "raw_media")
    assert (row["state"], row["attempt"] - row["parks"]) == ("running", 1)
    worker.results.close()


def test_late_write_of_a_parked_attempt_is_rejected(rows: Database) -> None:
    recording, worker = factories.add_recording(rows), factories.PipelineDriver(rows)
    inputs = {"sha256": recording.sha256}
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as parked:
        worker.results.park(parked, make_rate_limited())
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as newer_claim:
        with pytest.raises(ClaimLost), worker.results.finish(parked, output_hash="late"):
            pass
        worker.results.park(parked, make_rate_limited())  # must not release the newer claim
        assert stage_row(rows, "raw_media")["attempt"] == newer_claim.attempt
        assert stage_row(rows, "raw_media")["state"] == "running"
    worker.results.close()


def open_stopped_provider(rows: Database) -> Any:
    return open_provider(rows, error_answer(401, "invalid_api_key"))


def test_stopped_provider_parks_all_recordings_until_resumed(
    pipeline: Pipeline, runner: InProcessRunner, add: Add, embedder: CallingEmbedder, rows: Database
) -> None:
    for number in range(20):
        add(f"{number}.wav")
    with open_stopped_provider(rows) as embedder.provider:
        runner.drain()
        assert statuses(pipeline.services) == ["parked"] * 20
        assert embedder.provider.script.request_count == 1, "of 20, batched or single"
        assert pipeline.services.pipeline.recordings.dead_letters() == []
        detail = pipeline.services.pipeline.recordings.statuses("default")[0].detail
        assert detail.startswith("until resumed: openai refuses all requests")
        listener = pipeline.services.liveness.listener()
        listener.start()
        assert wait_until(listener.work_available.is_set, 10)  # it listens now
        listener.work_available.clear()
        assert (
            pipeline.services.provider_use.circuit_breakers.resume("default", "openai").recordings
            == 20
        )
        assert wait_until(listener.work_available.is_set, 10)
        listener.close()
        runner.drain()
    assert statuses(pipeline.services) == ["ready"] * 20


def test_recording_parked_after_the_provider_was_resumed_is_pending(
    services: PipelineServices, pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber
) -> None:
    recording = add("a.wav")
    transcriber.errors[recording.id] = lambda: CircuitOpen("No key.", until=None, remedy="-")
    pipeline.run(recording)  # no circuit breaker is open any more
    assert pending_ids(services) == [recording.id]


def test_recordings_over_the_daily_budget_are_parked_until_the_next_day(
    pipeline: Pipeline, add: Add, embedder: CallingEmbedder, rows: Database
) -> None:
    with open_provider(rows, budget_usd=0.31) as embedder.provider:  # two requests at $0.15
        for number in range(3):
            pipeline.run(add(f"{number}.wav"))
    assert statuses(pipeline.services) == ["ready", "ready", "parked"]
    midnight = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d} 00:00 UTC"
    assert midnight in pipeline.services.pipeline.recordings.statuses("default")[2].detail


def test_batch_over_the_budget_is_processed_one_by_one(
    pipeline: Pipeline, add: Add, embedder: CallingEmbedder, rows: Database
) -> None:
    recordings = [add(f"{number}.wav") for number in range(3)]
    with open_provider(rows, budget_usd=0.31) as embedder.provider:
        pipeline.run(*recordings)
    assert sorted(statuses(pipeline.services)) == ["parked", "ready", "ready"]
    claims = rows.rows(
        b"select attempt - parks as counted from stage_results"
        b" where stage = 'embeddings' and state = 'waiting'"
    )
    assert {row["counted"] for row in claims} == {0}


def test_plan_waits_for_parked_recordings(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber, rows: Database
) -> None:
    ready, parked = add("a.wav"), add("b.wav")
    pipeline.run(ready, parked)
    transcriber.engine = Engine("stub", "stub-2")
    transcriber.errors[parked.id] = make_rate_limited
    plan = pipeline.services.pipeline.plans.open(
        Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None
    )
    assert plan is not None
    pipeline.run_plans()
    rows.run(b"update recordings set requested_at = now() - interval '1 hour'")
    pipeline.run_plans()
    assert pipeline.services.pipeline.plans.get(plan.id).state == "open"
    assert statuses(pipeline.services) == ["ready", "ready"], "the old results serve meanwhile"
    transcriber.errors.clear()
    expire_parking(rows)
    pipeline.run_plans()
    rows.run(b"update recordings set requested_at = now() - interval '1 hour'")
    pipeline.run_plans()
    assert pipeline.services.pipeline.plans.get(plan.id).state == "done"
    models = rows.rows(
        b"select distinct s.recipe ->> 'model' as model from current_results c"
        b" join stage_results s on s.id = c.result_id where c.stage = 'transcript'"
    )
    assert [row["model"] for row in models] == ["stub-2"]


def test_retry_resumes_a_parked_recording_at_once(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber
) -> None:
    recording = add("a.wav")
    transcriber.errors[recording.id] = make_rate_limited
    pipeline.run(recording)
    requeued = pipeline.services.pipeline.recordings.requeue("default", [recording.id])
    assert requeued == [(recording.id, "transcript")]
    assert pending_ids(pipeline.services) == [recording.id]


def test_parked_recording_is_deleted_without_a_trace(
    pipeline: Pipeline, add: Add, embedder: CallingEmbedder, rows: Database
) -> None:
    recording = add("a.wav")
    with open_stopped_provider(rows) as embedder.provider:
        pipeline.run(recording)
    pipeline.services.deletion.delete([recording.id])
    for table in (b"parked_recordings", b"attempt_shares", b"stage_results"):
        assert factories.count_rows(rows, table) == 0
    assert factories.count_rows(rows, b"provider_attempts") == 1


def test_stages_set_the_call_context_of_their_recordings(
    pipeline: Pipeline, add: Add, transcriber: ParkingTranscriber, embedder: CallingEmbedder
) -> None:
    first, other = add("a.wav"), add("b.wav")
    pipeline.run(first, other)
    assert transcriber.contexts == [
        CallContext("default", "transcript", {recording.id: 1.0}) for recording in (first, other)
    ]
    [batch_context] = embedder.contexts
    assert (batch_context.org_id, batch_context.purpose) == ("default", "embeddings")
    assert set(batch_context.recordings) <= {first.id, other.id}
    assert sum(batch_context.recordings.values()) > 0
    with pytest.raises(LookupError):
        current_call_context()


def test_search_is_text_only_while_the_provider_is_stopped(
    pipeline: Pipeline,
    add: Add,
    services: PipelineServices,
    embedder: CallingEmbedder,
    rows: Database,
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    result_id = stage_row(rows, "transcript")["id"]
    word = services.pipeline.content.transcript(recording, result_id).text.split()[0]
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    with open_stopped_provider(rows) as embedder.provider:
        for _ in range(2):
            found = find(word)
            assert [hit.recording for hit in found.hits] == [recording.id]
            assert found.note is not None
            assert "full-text search only" in found.note
            assert "engines resume openai" in found.note
        assert embedder.contexts[-1] == CallContext("default", "search")
