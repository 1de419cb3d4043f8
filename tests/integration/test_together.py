"""Recordings that are cut and embedded together: each is made once, and fails alone."""

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
Told = list[tuple[str, Stage, StageOutcome]]


class Died(BaseException):
    """What is left of a worker that was killed: nothing of it is caught."""


class Choosy(StubEmbedder):
    """Refuses one text, dies of another, and counts the others; may tell its worker to stop."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.deadly: str | None = None
        self.stopping: Event | None = None
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.stopping:
            self.stopping.set()
        if self.refused in texts:
            raise InvalidEngineOutput("These are no words.", remedy="Say something else.")
        if self.deadly in texts:
            raise Died
        self.embedded += texts
        return super().embed(texts)


@pytest.fixture
def embedder() -> Choosy:
    return Choosy()


@pytest.fixture
def services(settings: Settings, embedder: Choosy) -> Iterator[PipelineServices]:
    engines = replace(
        stub_engines(), embedders=EmbedderRegistry("stub", {"stub": lambda: embedder})
    )
    with open_pipeline_services(settings, engines) as services:
        yield services


def take(
    services: PipelineServices,
    recordings: Sequence[Recording],
    stages: Sequence[Stage],
    run_id: str = "run",
) -> Told:
    """What was told, in that order. Ends early when it is stopped."""
    told: Told = []
    turn = RunAttempt(run_id, is_final=True, log=lambda line: None)
    targets, standing = (
        services.embedding_targets(),
        services.pipeline.results.current_results(recordings),
    )
    tell = StageExecutor(lambda work, stage, made: told.append((work.recording.id, stage, made)))
    with suppress(WorkerStopping), tell as hands:
        for current in recordings:
            hands.run(
                RecordingContext(services, current, turn, targets, standing[current.id]), stages
            )
        hands.finish()
    return told


def done(told: Told, stage: Stage) -> list[str]:
    return [
        recording_id
        for recording_id, of, made in told
        if of == stage and isinstance(made, StageResult)
    ]


def test_one_that_cannot_be_embedded_fails_alone_with_its_reason(
    services: PipelineServices, embedder: Choosy, add: Add
) -> None:
    good, bad, other = (add(f"{name}.wav") for name in ("good", "bad", "other"))
    take(services, [good, bad, other], STAGES[:3])
    heard = services.pipeline.results.current_results([bad])[bad.id]["transcript", 0]
    embedder.refused = services.pipeline.content.transcript(bad, heard.id).text
    told = take(services, [good, bad, other], STAGES)
    assert done(told, "embeddings") == [good.id, other.id]
    [letter] = services.pipeline.recordings.dead_letters()
    assert letter.id == bad.id
    ready = {
        recording.id: factories.get_status(services.pipeline.recordings, recording).status
        for recording in (good, bad, other)
    }
    assert ready == {good.id: "ready", bad.id: "failed", other.id: "ready"}


def test_one_whose_stage_before_is_missing_does_not_hold_up_the_others(
    services: PipelineServices, add: Add
) -> None:
    bare, whole = add("bare.wav"), add("whole.wav")
    take(services, [whole], STAGES[:3])
    told = take(services, [bare, whole], ["chunks", "embeddings"])
    assert done(told, "embeddings") == [whole.id]
    assert done(told, "chunks") == [whole.id]


def test_one_that_kills_every_worker_takes_no_others_with_it(
    services: PipelineServices, embedder: Choosy, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(4)]
    take(services, recordings, STAGES[:3])
    deadly = recordings[2]
    heard = services.pipeline.results.current_results([deadly])[deadly.id]["transcript", 0]
    embedder.deadly = services.pipeline.content.transcript(deadly, heard.id).text
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Died):
            take(services, recordings, ["chunks", "embeddings"])
    assert services.pipeline.results.dead_letter_crashed() == 1
    take(
        services, [current for current in recordings if current != deadly], ["chunks", "embeddings"]
    )
    assert [letter.id for letter in services.pipeline.recordings.dead_letters()] == [deadly.id]
    assert not services.pipeline.recordings.pending(limit=4)


def test_two_workers_with_the_same_recordings_embed_each_text_once(
    services: PipelineServices, settings: Settings, embedder: Choosy, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(20)]
    take(services, recordings, STAGES[:3])
    both = Barrier(2)

    def work(run_id: str) -> Told:
        with open_pipeline_services(settings, services.engines) as mine:
            both.wait()
            return take(mine, recordings, ["chunks", "embeddings"], run_id)

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(work, ["one", "other"])
    for told in (first, other):
        assert sorted(done(told, "embeddings")) == sorted(current.id for current in recordings)
    assert len(embedder.embedded) == len(set(embedder.embedded))


def test_more_recordings_than_go_together_are_all_made(
    services: PipelineServices, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(70)]
    told = take(services, recordings, STAGES)
    assert sorted(done(told, "embeddings")) == sorted(current.id for current in recordings)
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


def test_vectors_are_kept_though_the_server_went_away_as_they_were_written(
    services: PipelineServices, settings: Settings, embedder: Choosy, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    take(services, recordings, STAGES[:4])
    assert settings.database_url
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(_GOES_AWAY_ONCE)
    told = take(services, recordings, ["embeddings"])
    assert len(done(told, "embeddings")) == 2
    assert len(embedder.embedded) == len(set(embedder.embedded))


def test_what_was_made_before_the_worker_was_stopped_is_told(
    services: PipelineServices, embedder: Choosy, add: Add
) -> None:
    recordings = [add(f"{number}.wav") for number in range(70)]
    take(services, recordings, STAGES[:3])
    embedder.stopping = services.stopping
    told = take(services, recordings, ["chunks", "embeddings"])
    standing = services.pipeline.results.current_results(recordings).values()
    for stage in STAGES[3:]:
        made = [
            current
            for current in standing
            if (stage, services.embedding_targets()[0].embedding_set.id) in current
        ]
        assert len(done(told, stage)) == len(made)
    assert len(done(told, "embeddings")) < len(recordings)


def test_results_finished_together_are_all_kept_or_none(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    others = [factories.add_recording(database) for _ in range(2)]
    for current in others:
        worker.probe(current)
    wanted = [
        ResultKey(current, factories.make_recipe("transcript"), {}) for current in (probed, *others)
    ]
    with worker.results.try_claim_many(wanted, run_id="run-1", detail="") as claims:
        held = [claim for claim in claims if claim]
        assert len(held) == 3
        _take_over(database, held[1])
        with (
            pytest.raises(ClaimLost, match=held[1].recording.id),
            worker.results.finish_all(held, ["a", "b", "c"]),
        ):
            pass
    assert not any(worker.current(current, "transcript") for current in (probed, *others))


def test_a_forgotten_recording_among_several_leaves_nothing_locked(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    wanted = [
        ResultKey(current, factories.make_recipe("transcript"), {})
        for current in (probed, factories.make_recording())
    ]
    with worker.results.claim(wanted[0], run_id="run-1", detail="") as failed:
        worker.results.fail(failed, InvalidEngineOutput("No.", remedy="Try again."), final=False)
    with (
        pytest.raises(RecordingDeleted),
        worker.results.try_claim_many(wanted, run_id="run-1", detail=""),
    ):
        pass
    other = PipelineDriver(database, "other")
    with other.results.try_claim_many(wanted[:1], run_id="other", detail="") as [claim]:
        assert claim is not None
    other.results.close()


def test_what_another_worker_is_at_is_left_to_it(
    worker: PipelineDriver, database: Database, probed: Recording
) -> None:
    free = factories.add_recording(database)
    worker.probe(free)
    wanted = [
        ResultKey(current, factories.make_recipe("transcript"), {}) for current in (probed, free)
    ]
    other = PipelineDriver(database, "other")
    with (
        other.results.claim(wanted[0], run_id="other", detail=""),
        worker.results.try_claim_many(wanted, run_id="run-1", detail="") as claims,
    ):
        assert [claim and claim.recording.id for claim in claims] == [None, free.id]
    other.results.close()


def _take_over(database: Database, claim: Claim) -> None:
    """As a worker does that comes after this one was thought dead."""
    database.run(b"update stage_results set attempt = attempt + 1 where id = %(id)s", id=claim.id)
