"""Plans: exactly what changed is made again, at a price that somebody agreed to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.definitions import build_definitions
from pipeline_assets.planning.estimates import EstimateLine, price_lines, total_usd
from pipeline_assets.runs import INGEST_RECORDING, RunSpec
from playhead.core.errors import PermanentError
from playhead.core.records import STAGES, Engine, Price, Recording, Transcript
from playhead.core.settings import Chunking
from playhead.core.spend_confirmation import CostNotConfirmed, require_confirmation
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.pipeline.plans import Plan, Scope
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

Add = Callable[[str], Recording]


class NewTranscriber(StubTranscriber):
    """The next model, counted, and not free."""

    engine = Engine("instant", "instant-2")
    price = Price(usd_per_call=0.5, batch_discount=0.5)

    def __init__(self) -> None:
        self.heard: list[str] = []

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.heard.append(media.stem)
        return super().transcribe(media, **how)


@pytest.fixture
def transcriber() -> NewTranscriber:
    return NewTranscriber()


@pytest.fixture
def changed(pipeline: Pipeline, transcriber: NewTranscriber) -> Pipeline:
    """The same installation after its settings named another transcriber."""
    engines = replace(pipeline.services.engines, transcriber=transcriber)
    return over(pipeline, replace(pipeline.services, engines=engines))


def over(pipeline: Pipeline, services: PipelineServices) -> Pipeline:
    definitions = build_definitions(services.settings, engines=services.engines)
    return Pipeline(services, pipeline.instance, definitions)


def look(services: PipelineServices, scope: Scope | None = None) -> list[EstimateLine]:
    wanted = desired_recipes(services)
    return price_lines(
        services, services.pipeline.plans.differences(wanted, scope or Scope()), wanted
    )


def told(
    services: PipelineServices, scope: Scope | None = None
) -> list[tuple[str, str, tuple[str, ...], int]]:
    return [
        (difference.stage, difference.reason, difference.moved, difference.recordings)
        for difference in look(services, scope)
    ]


def made(services: PipelineServices, recording: Recording) -> dict[str, int]:
    """The current result of every stage."""
    return {row["stage"]: row["result_id"] for row in services.pipeline.results.lineage(recording)}


def decide(services: PipelineServices, scope: Scope | None = None) -> Plan:
    plan = services.pipeline.plans.open(
        scope or Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None
    )
    assert plan is not None
    return plan


def test_nothing_changed_means_nothing_planned(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert told(pipeline.services) == []
    decide(pipeline.services)
    assert pipeline.run_plans() == 0
    assert pipeline.services.pipeline.plans.under_way() == []


def test_a_new_model_makes_its_stage_stale_and_what_follows_uncertain(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert told(changed.services) == [
        ("transcript", "stale", ("model",), 2),
        ("document", "downstream", (), 2),
        ("chunks", "downstream", (), 2),
        ("embeddings", "downstream", (), 2),
    ]


def test_a_plan_makes_exactly_what_is_stale_and_stops_where_nothing_came_of_it(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    pipeline.run(*recordings)
    before = made(pipeline.services, recordings[0])
    decide(changed.services)
    changed.run_plans()
    assert sorted(transcriber.heard) == sorted(recording.id for recording in recordings)
    assert told(changed.services) == []
    after = made(pipeline.services, recordings[0])
    assert {stage for stage in after if after[stage] != before[stage]} == {"transcript"}, (
        "the new model heard the same words, so nothing after it was made again"
    )


def test_carried_out_again_a_plan_asks_no_model(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    for _ in range(2):
        decide(changed.services)
        changed.run_plans()
    assert len(transcriber.heard) == 1


def test_other_sizes_for_one_kind_concern_that_kind_alone(pipeline: Pipeline, add: Add) -> None:
    talk = add("a.wav")
    sound = add("b.wav")
    services = pipeline.services
    smaller = services.settings.model_copy(
        update={"chunking": {talk.kind: Chunking(size=16, overlap=2, minimum=4)}}
    )
    meeting = services.settings.model_copy(
        update={"chunking": {"meeting": Chunking(size=16, overlap=2, minimum=4)}}
    )
    pipeline.run(talk, sound)
    assert told(replace(services, settings=meeting)) == []
    assert told(replace(services, settings=smaller)) == [
        ("chunks", "stale", ("parameters",), 2),
        ("embeddings", "downstream", (), 2),
    ]


def test_a_recording_is_finished_without_hearing_it_again_though_a_new_model_is_set(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media", "transcript"))
    run = RunSpec((recording,))
    changed.definitions.resolve_job_def(INGEST_RECORDING).execute_in_process(
        instance=changed.instance, tags=dict(run.tags), run_config=run.run_config
    )
    assert transcriber.heard == []
    assert changed.services.pipeline.recordings.statuses("default")[0].status == "ready"


def test_a_person_who_asks_in_the_ui_gets_the_new_model(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    changed.run(recording, only=("transcript",))
    assert transcriber.heard == [recording.id]


def test_the_old_transcript_serves_until_the_new_one_is_there(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    [before] = [
        row
        for row in pipeline.services.pipeline.results.lineage(recording)
        if row["stage"] == "transcript"
    ]

    def away(media: Path, **how: Any) -> Transcript:
        raise PermanentError("The new engine is away.", remedy="Wait.")

    transcriber.transcribe = away  # type: ignore[method-assign]
    decide(changed.services)
    changed.run_plans()
    [after] = [
        row
        for row in changed.services.pipeline.results.lineage(recording)
        if row["stage"] == "transcript"
    ]
    assert after["result_id"] == before["result_id"]
    assert ("transcript", "failed", (), 1) in told(changed.services)
    assert changed.services.pipeline.plans.under_way() == [], (
        "a plan ends though one recording failed"
    )


def test_a_cancelled_plan_begins_nothing_more(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    plan = decide(changed.services)
    assert changed.services.pipeline.plans.cancel(plan.id)
    assert changed.run_plans() == 0
    assert not changed.services.pipeline.plans.cancel(plan.id)
    assert transcriber.heard == []


def test_a_plan_cancelled_while_its_run_waits_makes_nothing(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    plan = decide(changed.services)
    run = RunSpec((recording,), plan)
    changed.services.pipeline.plans.cancel(plan.id)
    changed.definitions.resolve_job_def(INGEST_RECORDING).execute_in_process(
        instance=changed.instance,
        tags=dict(run.tags),
        run_config=run.run_config,
        asset_selection=run.assets,
    )
    assert transcriber.heard == []


def test_what_costs_more_than_the_limit_needs_somebody_who_agrees(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(*[add(f"{number}.wav") for number in range(3)])
    usd = total_usd(look(changed.services))
    assert usd == 1.5
    with pytest.raises(CostNotConfirmed, match=r"\$1\.50") as refused:
        require_confirmation(usd, None, changed.services.settings.confirm_above_usd)
    assert "--confirm-usd 1.50" in refused.value.remedy
    with pytest.raises(CostNotConfirmed):
        require_confirmation(usd, 1.0, changed.services.settings.confirm_above_usd)
    require_confirmation(usd, 1.5, changed.services.settings.confirm_above_usd)


def test_what_never_arrived_is_missing_and_a_dead_letter_is_failed(
    pipeline: Pipeline, add: Add
) -> None:
    add("a.wav")
    pipeline.run(add("not_sound.txt"))
    assert told(pipeline.services, Scope(stages=STAGES[:1])) == [
        ("raw_media", "failed", (), 1),
        ("raw_media", "missing", (), 1),
    ]


def test_a_scope_leaves_out_other_kinds_organisations_and_stages(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    assert told(changed.services, Scope(kind="meeting")) == []
    assert told(changed.services, Scope(org_id="default", stages=STAGES[3:])) == [
        ("chunks", "downstream", (), 1),
        ("embeddings", "downstream", (), 1),
    ]
    assert told(changed.services, Scope(org_id="other")) == []


def test_who_waits_a_day_is_told_the_price_of_waiting(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    services, wanted = changed.services, desired_recipes(changed.services)
    survey = services.pipeline.plans.differences(wanted, Scope())
    assert total_usd(price_lines(services, survey, wanted)) == 1.0
    assert total_usd(price_lines(services, survey, wanted, batch=True)) == 0.5
