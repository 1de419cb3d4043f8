"""Plans: exactly the changed results are rebuilt, at a confirmed cost."""

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
    """Another transcriber that counts its calls and has a price."""

    engine = Engine("stub", "stub-2")
    price = Price(usd_per_call=0.5, batch_discount=0.5)

    def __init__(self) -> None:
        self.transcribed: list[str] = []

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.transcribed.append(media.stem)
        return super().transcribe(media, **how)


@pytest.fixture
def transcriber() -> NewTranscriber:
    return NewTranscriber()


@pytest.fixture
def changed(pipeline: Pipeline, transcriber: NewTranscriber) -> Pipeline:
    """Return the same installation after its settings named another transcriber."""
    engines = replace(pipeline.services.engines, transcriber=transcriber)
    return with_services(pipeline, replace(pipeline.services, engines=engines))


def with_services(pipeline: Pipeline, services: PipelineServices) -> Pipeline:
    definitions = build_definitions(services.settings, engines=services.engines)
    return Pipeline(services, pipeline.instance, definitions)


def estimate(services: PipelineServices, scope: Scope | None = None) -> list[EstimateLine]:
    desired = desired_recipes(services)
    return price_lines(
        services, services.pipeline.plans.differences(desired, scope or Scope()), desired
    )


def differences(
    services: PipelineServices, scope: Scope | None = None
) -> list[tuple[str, str, tuple[str, ...], int]]:
    return [
        (difference.stage, difference.reason, difference.moved, difference.recordings)
        for difference in estimate(services, scope)
    ]


def current_results(services: PipelineServices, recording: Recording) -> dict[str, int]:
    """Return the current result of every stage."""
    return {row["stage"]: row["result_id"] for row in services.pipeline.results.lineage(recording)}


def open_plan(services: PipelineServices, scope: Scope | None = None) -> Plan:
    plan = services.pipeline.plans.open(
        scope or Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None
    )
    assert plan is not None
    return plan


def test_plan_without_changes_runs_nothing(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert differences(pipeline.services) == []
    open_plan(pipeline.services)
    assert pipeline.run_plans() == 0
    assert pipeline.services.pipeline.plans.under_way() == []


def test_new_model_makes_its_stage_stale_and_later_ones_uncertain(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert differences(changed.services) == [
        ("transcript", "stale", ("model",), 2),
        ("document", "downstream", (), 2),
        ("chunks", "downstream", (), 2),
        ("embeddings", "downstream", (), 2),
    ]


def test_plan_runs_stale_stages_and_stops_at_unchanged_output(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recordings = [add("a.wav"), add("b.wav")]
    pipeline.run(*recordings)
    before = current_results(pipeline.services, recordings[0])
    open_plan(changed.services)
    changed.run_plans()
    assert sorted(transcriber.transcribed) == sorted(recording.id for recording in recordings)
    assert differences(changed.services) == []
    after = current_results(pipeline.services, recordings[0])
    assert {stage for stage in after if after[stage] != before[stage]} == {"transcript"}, (
        "the new model heard the same words, so nothing after it was made again"
    )


def test_plan_run_again_calls_no_model(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    for _ in range(2):
        open_plan(changed.services)
        changed.run_plans()
    assert len(transcriber.transcribed) == 1


def test_chunk_sizes_of_one_kind_affect_only_that_kind(pipeline: Pipeline, add: Add) -> None:
    talk = add("a.wav")
    sound = add("b.wav")
    services = pipeline.services
    smaller_chunks = services.settings.model_copy(
        update={"chunking": {talk.kind: Chunking(size=16, overlap=2, minimum=4)}}
    )
    meeting = services.settings.model_copy(
        update={"chunking": {"meeting": Chunking(size=16, overlap=2, minimum=4)}}
    )
    pipeline.run(talk, sound)
    assert differences(replace(services, settings=meeting)) == []
    assert differences(replace(services, settings=smaller_chunks)) == [
        ("chunks", "stale", ("parameters",), 2),
        ("embeddings", "downstream", (), 2),
    ]


def test_unfinished_recording_is_completed_without_the_new_model(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media", "transcript"))
    run = RunSpec((recording,))
    changed.definitions.resolve_job_def(INGEST_RECORDING).execute_in_process(
        instance=changed.instance, tags=dict(run.tags), run_config=run.run_config
    )
    assert transcriber.transcribed == []
    assert changed.services.pipeline.recordings.statuses("default")[0].status == "ready"


def test_asset_selected_in_the_ui_uses_the_new_model(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    changed.run(recording, only=("transcript",))
    assert transcriber.transcribed == [recording.id]


def test_old_transcript_stays_current_if_the_new_model_fails(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    [before] = [
        row
        for row in pipeline.services.pipeline.results.lineage(recording)
        if row["stage"] == "transcript"
    ]

    def raise_unavailable(media: Path, **how: Any) -> Transcript:
        raise PermanentError("The new engine is away.", remedy="Wait.")

    transcriber.transcribe = raise_unavailable  # type: ignore[method-assign]
    open_plan(changed.services)
    changed.run_plans()
    [after] = [
        row
        for row in changed.services.pipeline.results.lineage(recording)
        if row["stage"] == "transcript"
    ]
    assert after["result_id"] == before["result_id"]
    assert ("transcript", "failed", (), 1) in differences(changed.services)
    assert changed.services.pipeline.plans.under_way() == [], (
        "a plan ends though one recording failed"
    )


def test_cancelled_plan_starts_no_run(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    plan = open_plan(changed.services)
    assert changed.services.pipeline.plans.cancel(plan.id)
    assert changed.run_plans() == 0
    assert not changed.services.pipeline.plans.cancel(plan.id)
    assert transcriber.transcribed == []


def test_plan_cancelled_while_its_run_waits_does_nothing(
    pipeline: Pipeline, changed: Pipeline, transcriber: NewTranscriber, add: Add
) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    plan = open_plan(changed.services)
    run = RunSpec((recording,), plan)
    changed.services.pipeline.plans.cancel(plan.id)
    changed.definitions.resolve_job_def(INGEST_RECORDING).execute_in_process(
        instance=changed.instance,
        tags=dict(run.tags),
        run_config=run.run_config,
        asset_selection=run.assets,
    )
    assert transcriber.transcribed == []


def test_cost_over_the_limit_needs_confirmation(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(*[add(f"{number}.wav") for number in range(3)])
    usd = total_usd(estimate(changed.services))
    assert usd == 1.5
    with pytest.raises(CostNotConfirmed, match=r"\$1\.50") as error:
        require_confirmation(usd, None, changed.services.settings.confirm_above_usd)
    assert "--confirm-usd 1.50" in error.value.remedy
    with pytest.raises(CostNotConfirmed):
        require_confirmation(usd, 1.0, changed.services.settings.confirm_above_usd)
    require_confirmation(usd, 1.5, changed.services.settings.confirm_above_usd)


def test_missing_and_failed_results_are_distinguished(pipeline: Pipeline, add: Add) -> None:
    add("a.wav")
    pipeline.run(add("not_sound.txt"))
    assert differences(pipeline.services, Scope(stages=STAGES[:1])) == [
        ("raw_media", "failed", (), 1),
        ("raw_media", "missing", (), 1),
    ]


def test_plan_scope_excludes_other_kinds_organisations_and_stages(
    pipeline: Pipeline, changed: Pipeline, add: Add
) -> None:
    pipeline.run(add("a.wav"))
    assert differences(changed.services, Scope(kind="meeting")) == []
    assert differences(changed.services, Scope(org_id="default", stages=STAGES[3:])) == [
        ("chunks", "downstream", (), 1),
        ("embeddings", "downstream", (), 1),
    ]
    assert differences(changed.services, Scope(org_id="other")) == []


def test_batch_mode_has_its_own_estimate(pipeline: Pipeline, changed: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    services, desired = changed.services, desired_recipes(changed.services)
    found = services.pipeline.plans.differences(desired, Scope())
    assert total_usd(price_lines(services, found, desired)) == 1.0
    assert total_usd(price_lines(services, found, desired, batch=True)) == 0.5
