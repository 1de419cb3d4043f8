"""Parked is not failed: what a provider keeps is laid aside, told of, and goes on by itself."""

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


def rate_limited() -> Parked:
    return RateLimited("Come again.", until=datetime.now(UTC) + LATER, remedy="Wait.")


class Moody(StubTranscriber):
    """Raises ``moods``, by recording, and notes for whom it was asked to work."""

    def __init__(self) -> None:
        self.moods: dict[str, Callable[[], Parked]] = {}
        self.errands: list[CallContext] = []

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        errand = current_call_context()
        self.errands.append(errand)
        for identity in errand.recordings:
            if mood := self.moods.get(identity):
                raise mood()
        return super().transcribe(media, **how)


class Asking(StubEmbedder):
    """Asks a provider before it works: for $0.15 a recording at most, and as much in the end."""

    def __init__(self) -> None:
        self.provider: ClientUnderTest | None = None
        self.errands: list[CallContext] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.errands.append(current_call_context())
        if self.provider:
            self.provider.call(Usage(input_tokens=15 * len(self.errands[-1].recordings)))
        return super().embed(texts)


@pytest.fixture
def transcriber() -> Moody:
    return Moody()


@pytest.fixture
def embedder() -> Asking:
    return Asking()


@pytest.fixture
def services(services: PipelineServices, transcriber: Moody, embedder: Asking) -> PipelineServices:
    embedders = EmbedderRegistry("instant", {"instant": lambda: embedder})
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
def processor(services: PipelineServices, instance: dg.DagsterInstance) -> InProcessRunner:
    return InProcessRunner(
        services, instance, build_definitions(services.settings, services=services)
    )


def statuses(services: PipelineServices) -> list[str]:
    return [status.status for status in services.pipeline.recordings.statuses("default")]


def waiting(services: PipelineServices) -> list[str]:
    return [
        recording.id
        for recording in services.pipeline.recordings.pending(limit=999, unrequested=True)
    ]


def its_time_has_come(rows: Database) -> None:
    rows.run(b"update parked_recordings set until = now() - interval '1 second'")


def row_of(rows: Database, stage: str) -> DictRow:
    row = rows.row(b"select * from stage_results where stage = %(stage)s", stage=stage)
    assert row is not None
    return row


def test_a_parked_recording_among_many_holds_up_no_other_and_fails_no_run(
    pipeline: Pipeline, add: Add, transcriber: Moody, rows: Database
) -> None:
    recordings = [add(f"{number}.wav") for number in range(40)]
    parked = recordings[21]
    transcriber.moods[parked.id] = rate_limited
    run = pipeline.run(*recordings)
    assert run.success
    assert sorted(statuses(pipeline.services)) == ["parked"] + ["ready"] * 39
    assert pipeline.materialised("embeddings") == {recording.id for recording in recordings} - {
        parked.id
    }
    assert pipeline.services.pipeline.recordings.dead_letters() == []
    told = pipeline.instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey("transcript"), asset_partitions=[parked.id]), limit=9
    ).records
    assert [event.asset_observation.description for event in told if event.asset_observation] == [
        "Come again."
    ]


def test_a_person_reads_until_when_and_why(
    pipeline: Pipeline, add: Add, transcriber: Moody
) -> None:
    recording = add("a.wav")
    transcriber.moods[recording.id] = rate_limited
    pipeline.run(recording)
    status = factories.get_status(pipeline.services.pipeline.recordings, recording)
    day = f"{datetime.now(UTC) + LATER:%Y-%m-%d}"
    assert status.detail.startswith(f"until {day}")
    assert status.detail.endswith("UTC: Come again. Wait.")
    assert status.error is None


def test_it_is_offered_to_nobody_before_its_time_and_goes_on_then(
    pipeline: Pipeline, processor: InProcessRunner, add: Add, transcriber: Moody, rows: Database
) -> None:
    recording = add("a.wav")
    transcriber.moods[recording.id] = rate_limited
    processor.drain()
    assert waiting(pipeline.services) == []
    assert tick(pipeline) == []
    transcriber.moods.clear()
    its_time_has_come(rows)
    assert waiting(pipeline.services) == [recording.id]
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


def test_one_whose_time_has_come_is_first_of_all_the_attending_workers(
    pipeline: Pipeline, add: Add, transcriber: Moody, rows: Database
) -> None:
    recording = add("a.wav")
    transcriber.moods[recording.id] = rate_limited
    pipeline.run(recording)
    rows.run(b"update recordings set created_at = now() - interval '1 day'")
    its_time_has_come(rows)
    with pipeline.services.liveness.hold(WORKER):
        assert tick(pipeline) == []
    assert waiting(pipeline.services) == [recording.id]


def test_to_be_parked_again_and_again_is_not_to_die(rows: Database) -> None:
    recording, worker = factories.add_recording(rows), factories.PipelineDriver(rows)
    inputs = {"sha256": recording.sha256}
    for _ in range(MAX_ATTEMPTS + 2):
        with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as claim:
            worker.results.park(claim, rate_limited())
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs):
        pass  # and a worker that dies over it now is the first one
    assert worker.results.dead_letter_crashed() == 0
    row = row_of(rows, "raw_media")
    assert (row["state"], row["attempt"] - row["parks"]) == ("running", 1)
    worker.results.close()


def test_a_late_write_of_a_parked_attempt_is_lost(rows: Database) -> None:
    recording, worker = factories.add_recording(rows), factories.PipelineDriver(rows)
    inputs = {"sha256": recording.sha256}
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as parked:
        worker.results.park(parked, rate_limited())
    with worker.claim(recording, factories.make_recipe("raw_media"), inputs) as newer:
        with pytest.raises(ClaimLost), worker.results.finish(parked, output_hash="late"):
            pass
        worker.results.park(parked, rate_limited())  # nor does it take the newer one's claim away
        assert row_of(rows, "raw_media")["attempt"] == newer.attempt
        assert row_of(rows, "raw_media")["state"] == "running"
    worker.results.close()


def stopped_provider(rows: Database) -> Any:
    return open_provider(rows, error_answer(401, "invalid_api_key"))


def test_a_stopped_provider_lays_all_aside_until_a_person_resumes_it(
    pipeline: Pipeline, processor: InProcessRunner, add: Add, embedder: Asking, rows: Database
) -> None:
    for number in range(20):
        add(f"{number}.wav")
    with stopped_provider(rows) as embedder.provider:
        processor.drain()
        assert statuses(pipeline.services) == ["parked"] * 20
        assert embedder.provider.script.request_count == 1, "of 20, made together or alone"
        assert pipeline.services.pipeline.recordings.dead_letters() == []
        detail = pipeline.services.pipeline.recordings.statuses("default")[0].detail
        assert detail.startswith("until resumed: openai lets nobody in")
        doorbell = pipeline.services.liveness.listener()
        doorbell.start()
        assert wait_until(doorbell.rung.is_set, 10)  # that it listens
        doorbell.rung.clear()
        assert (
            pipeline.services.provider_use.circuit_breakers.resume("default", "openai").recordings
            == 20
        )
        assert wait_until(doorbell.rung.is_set, 10)
        doorbell.close()
        processor.drain()
    assert statuses(pipeline.services) == ["ready"] * 20


def test_what_is_laid_aside_just_after_its_provider_was_resumed_waits_on(
    services: PipelineServices, pipeline: Pipeline, add: Add, transcriber: Moody
) -> None:
    recording = add("a.wav")
    transcriber.moods[recording.id] = lambda: CircuitOpen("No key.", until=None, remedy="-")
    pipeline.run(recording)  # and no breaker is open any more
    assert waiting(services) == [recording.id]


def test_what_fits_into_the_days_money_is_made_and_the_rest_waits_for_the_next(
    pipeline: Pipeline, add: Add, embedder: Asking, rows: Database
) -> None:
    with open_provider(rows, budget_usd=0.31) as embedder.provider:  # two requests at $0.15
        for number in range(3):
            pipeline.run(add(f"{number}.wav"))
    assert statuses(pipeline.services) == ["ready", "ready", "parked"]
    midnight = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d} 00:00 UTC"
    assert midnight in pipeline.services.pipeline.recordings.statuses("default")[2].detail


def test_those_that_are_too_dear_together_are_made_alone(
    pipeline: Pipeline, add: Add, embedder: Asking, rows: Database
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


def test_a_plan_waits_for_what_is_laid_aside(
    pipeline: Pipeline, add: Add, transcriber: Moody, rows: Database
) -> None:
    kept, parked = add("a.wav"), add("b.wav")
    pipeline.run(kept, parked)
    transcriber.engine = Engine("instant", "instant-2")
    transcriber.moods[parked.id] = rate_limited
    plan = pipeline.services.pipeline.plans.open(
        Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None
    )
    assert plan is not None
    pipeline.run_plans()
    rows.run(b"update recordings set requested_at = now() - interval '1 hour'")
    pipeline.run_plans()
    assert pipeline.services.pipeline.plans.get(plan.id).state == "open"
    assert statuses(pipeline.services) == ["ready", "ready"], "the old results serve meanwhile"
    transcriber.moods.clear()
    its_time_has_come(rows)
    pipeline.run_plans()
    rows.run(b"update recordings set requested_at = now() - interval '1 hour'")
    pipeline.run_plans()
    assert pipeline.services.pipeline.plans.get(plan.id).state == "done"
    models = rows.rows(
        b"select distinct s.recipe ->> 'model' as model from current_results c"
        b" join stage_results s on s.id = c.result_id where c.stage = 'transcript'"
    )
    assert [row["model"] for row in models] == ["instant-2"]


def test_a_retry_takes_a_parked_recording_up_at_once(
    pipeline: Pipeline, add: Add, transcriber: Moody
) -> None:
    recording = add("a.wav")
    transcriber.moods[recording.id] = rate_limited
    pipeline.run(recording)
    replayed = pipeline.services.pipeline.recordings.requeue("default", [recording.id])
    assert replayed == [(recording.id, "transcript")]
    assert waiting(pipeline.services) == [recording.id]


def test_nothing_is_left_of_a_parked_recording_that_is_forgotten(
    pipeline: Pipeline, add: Add, embedder: Asking, rows: Database
) -> None:
    recording = add("a.wav")
    with stopped_provider(rows) as embedder.provider:
        pipeline.run(recording)
    pipeline.services.deletion.delete([recording.id])
    for table in (b"parked_recordings", b"attempt_shares", b"stage_results"):
        assert factories.count_rows(rows, table) == 0
    assert factories.count_rows(rows, b"provider_attempts") == 1


def test_stages_work_for_the_recordings_they_are_at(
    pipeline: Pipeline, add: Add, transcriber: Moody, embedder: Asking
) -> None:
    first, other = add("a.wav"), add("b.wav")
    pipeline.run(first, other)
    assert transcriber.errands == [
        CallContext("default", "transcript", {recording.id: 1.0}) for recording in (first, other)
    ]
    [together] = embedder.errands
    assert (together.org_id, together.purpose) == ("default", "embeddings")
    assert set(together.recordings) <= {first.id, other.id}
    assert sum(together.recordings.values()) > 0
    with pytest.raises(LookupError):
        current_call_context()


def test_a_question_is_answered_by_words_while_the_provider_is_stopped(
    pipeline: Pipeline, add: Add, services: PipelineServices, embedder: Asking, rows: Database
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    heard = row_of(rows, "transcript")["id"]
    word = services.pipeline.content.transcript(recording, heard).text.split()[0]
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    with stopped_provider(rows) as embedder.provider:
        for _ in range(2):
            found = find(word)
            assert [hit.recording for hit in found.hits] == [recording.id]
            assert found.note is not None
            assert "by words alone" in found.note
            assert "engines resume openai" in found.note
        assert embedder.errands[-1] == CallContext("default", "search")
