"""The batch stage: recordings are chunked and embedded in batches but fail one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, Event

import psycopg
import pytest

from pipeline_assets.assets.executor import StageExecutor
from pipeline_assets.assets.stage import RecordingContext, RunAttempt, StageOutcome, StageResult
from playhead.core.errors import ClaimLost, InvalidEngineOutput, RecordingDeleted, WorkerStopping
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import STAGES, Recording, Stage
from playhead.core.settings import Settings
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.database import Database
from playhead.postgres.pipeline.stage_results import MAX_ATTEMPTS, Claim, ResultKey
from playhead.services.context import PipelineServices, open_pipeline_services
from tests.integration.conftest import stub_engines
from tests.support import factories
from tests.support.factories import PipelineDriver

Add = Callable[[str], Recording]
Outcomes = list[tuple[str, Stage, StageOutcome]]


class WorkerKilled(BaseException):
    """Stands in for a killed worker: nothing catches it."""


class FaultyEmbedder(StubEmbedder):
    """Rejects one text, crashes on another, records the others; may stop its worker."""

    def __init__(self) -> None:
        self.rejected_text: str | None = None
        self.crashing_text: str | None = None
        self.stopping: Event | None = None
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.stopping:
            self.stopping.set()
        if self.rejected_text in texts:
            raise InvalidEngineOutput("The text is rejected.", remedy="Use another text.")
        if self.crashing_text in texts:
            raise WorkerKilled
        self.embedded += texts
        return super().embed(texts)


@pytest.fixture
def embedder() -> FaultyEmbedder:
    return FaultyEmbedder()


@pytest.fixture
def services(settings: Settings, embedder: FaultyEmbedder) -> Iterator[PipelineServices]:
    engines = replace(
        stub_engines(), embedders=EmbedderRegistry("stub", {"stub": lambda: embedder})
    )
    with open_pipeline_services(settings, engines) as services:
        yield services


def run_stages(
    services: PipelineServices,
    recordings: Sequence[Recording],
    stages: Sequence[Stage],
    run_id: str = "run",
) -> Outcomes:
    """Run the stages and return the outcomes in order; return early if the worker is stopped."""
    outcomes: Outcomes = []
    attempt = RunAttempt(run_id, is_final=True, log=lambda line: None)
    targets, current_results = (
        services.embedding_targets(),
        services.pipeline.results.current_results(recordings),
    )
    executor_context = StageExecutor(
        lambda run_worker, stage, outcome: outcomes.append(
            (run_worker.recording.id, stage, outcome)
        )
    )
    with suppress(WorkerStopping), executor_context as executor:
        for current in recordings:
            executor.run(
                RecordingContext(services, current, attempt, targets, current_results[current.id]),
                stages,
            )
        executor.finish()
    return outcomes


def successful_ids(outcomes: Outcomes, stage: Stage) -> list[str]:
    return [
        recording_id
        for recording_id, stage_name, outcome in outcomes
        if stage_name == stage and isinstance(outcome, StageResult)
    ]


def test_recording_that_cannot_be_embedded_fails_alone(
    services: PipelineServices, embedder: FaultyEmbedder, add: Add
) -> None:
    good, rejected, other = (add(f"{name}.wav") for name in ("good", "bad", "other"))
    run_stages(services, [good, rejected, other], STAGES[:3])
    result = services.pipeline.results.current_results([rejected])[rejected.id]["transcript", 0]
    embedder.rejected_text = services.pipeline.content.transcript(rejected, result.id).text
    outcomes = run_stages(services, [good, rejected, other], STAGES)
    assert successful_ids(outcomes, "embeddings") == [good.id, other.id]
    [letter] = services.pipeline.recordings.dead_letters()
    assert letter.id == rejected.id
    statuses = {
        recording.id: factories.get_status(services.pipeline.recordings, recording).status
        for recording in (good, rejected, other)
    }
    assert statuses == {good.id: "ready", rejected.id: "failed", other.id: "ready"}


def test_recording_without_its_input_does_not_delay_the_others(
    services: PipelineServices, add: Add
) -> None:
    unprocessed, processed = add("bare.wav"), add("whole.wav")
    run_stages(services, [processed], STAGES[:3])
    outcomes = run_stages(services, [unprocessed, processed], ["chunks", "embeddings"])
    assert successful_ids(outcomes, "embeddings") == [processed.id]
    assert successful_ids(outcomes, "chunks") == [processed.id]


def test_recording_that_crashes_every_worker_does_not_affect_others(
    services: PipelineServices, embedder: FaultyEmbedder, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(4)]
    run_stages(services, recordings, STAGES[:3])
    crashing = recordings[2]
    result = services.pipeline.results.current_results([crashing])[crashing.id]["transcript", 0]
    embedder.crashing_text = services.pipeline.content.transcript(crashing, result.id).text
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(WorkerKilled):
            run_stages(services, recordings, ["chunks", "embeddings"])
    assert services.pipeline.results.dead_letter_crashed() == 1
    run_stages(
        services,
        [current for current in recordings if current != crashing],
        ["chunks", "embeddings"],
    )
    assert [letter.id for letter in services.pipeline.recordings.dead_letters()] == [crashing.id]
    assert not services.pipeline.recordings.pending(limit=4)


def test_concurrent_workers_embed_each_text_once(
    services: PipelineServices, settings: Settings, embedder: FaultyEmbedder, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(20)]
    run_stages(services, recordings, STAGES[:3])
    barrier = Barrier(2)

    def run_worker(run_id: str) -> Outcomes:
        with open_pipeline_services(settings, services.engines) as services_:
            barrier.wait()
            return run_stages(services_, recordings, ["chunks", "embeddings"], run_id)

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(run_worker, ["one", "other"])
    for outcomes in (first, other):
        assert sorted(successful_ids(outcomes, "embeddings")) == sorted(
            current.id for current in recordings
        )
    assert len(embedder.embedded) == len(set(embedder.embedded))


def test_recordings_beyond_the_batch_size_are_all_processed(
    services: PipelineServices, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(70)]
    outcomes = run_stages(services, recordings, STAGES)
    assert sorted(successful_ids(outcomes, "embeddings")) == sorted(
        current.id for current in recordings
    )
    assert not services.pipeline.recordings.pending(limit=1)


_GOES_AWAY_ONCE = b"""
create sequence times;
create function goes_away() returns trigger language plpgsql security definer as $$
begin
    if nextval('times') = 1 then
        perform pg_terminate_backend(pg_backend_pid());
    end if;
    return new;
end $$;
create trigger goes_away before insert on embedding_cache
for each row execute function goes_away()"""


def test_vectors_are_stored_after_a_lost_database_connection(
    services: PipelineServices, settings: Settings, embedder: FaultyEmbedder, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    run_stages(services, recordings, STAGES[:4])
    assert settings.database_url
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(_GOES_AWAY_ONCE)
    outcomes = run_stages(services, recordings, ["embeddings"])
    assert len(successful_ids(outcomes, "embeddings")) == 2
    assert len(embedder.embedded) == len(set(embedder.embedded))


def test_results_stored_before_a_stop_are_reported(
    services: PipelineServices, embedder: FaultyEmbedder, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(70)]
    run_stages(services, recordings, STAGES[:3])
    embedder.stopping = services.stopping
    outcomes = run_stages(services, recordings, ["chunks", "embeddings"])
    current_results = services.pipeline.results.current_results(recordings).values()
    for stage in STAGES[3:]:
        outcome = [
            current
            for current in current_results
            if (stage, services.embedding_targets()[0].embedding_set.id) in current
        ]
        assert len(successful_ids(outcomes, stage)) == len(outcome)
    assert len(successful_ids(outcomes, "embeddings")) < len(recordings)


def test_results_of_a_batch_are_stored_together_or_not_at_all(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    others = [factories.add_recording(database) for _ in range(2)]
    for current in others:
        worker.probe(current)
    keys = [
        ResultKey(current, factories.make_recipe("transcript"), {}) for current in (probed, *others)
    ]
    with worker.results.try_claim_many(keys, run_id="run-1", detail="") as claims:
        claimed = [claim for claim in claims if claim]
        assert len(claimed) == 3
        _take_over(database, claimed[1])
        with (
            pytest.raises(ClaimLost, match=claimed[1].recording.id),
            worker.results.finish_all(claimed, ["a", "b", "c"]),
        ):
            pass
    assert not any(worker.current(current, "transcript") for current in (probed, *others))


def test_deleted_recording_in_a_batch_leaves_nothing_locked(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    keys = [
        ResultKey(current, factories.make_recipe("transcript"), {})
        for current in (probed, factories.make_recording())
    ]
    with worker.results.claim(keys[0], run_id="run-1", detail="") as failed:
        worker.results.fail(failed, InvalidEngineOutput("No.", remedy="Try again."), final=False)
    with (
        pytest.raises(RecordingDeleted),
        worker.results.try_claim_many(keys, run_id="run-1", detail=""),
    ):
        pass
    other = PipelineDriver(database, "other")
    with other.results.try_claim_many(keys[:1], run_id="other", detail="") as [claim]:
        assert claim is not None
    other.results.close()


def test_claim_of_another_worker_is_skipped(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    free = factories.add_recording(database)
    worker.probe(free)
    keys = [
        ResultKey(current, factories.make_recipe("transcript"), {}) for current in (probed, free)
    ]
    other = PipelineDriver(database, "other")
    with (
        other.results.claim(keys[0], run_id="other", detail=""),
        worker.results.try_claim_many(keys, run_id="run-1", detail="") as claims,
    ):
        assert [claim and claim.recording.id for claim in claims] == [None, free.id]
    other.results.close()


def _take_over(database: Database, claim: Claim) -> None:
    """Take over the claim, like a worker that starts after this one was thought dead."""
    database.run(b"update stage_results set attempt = attempt + 1 where id = %(id)s", id=claim.id)
