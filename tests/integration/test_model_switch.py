"""Changing the embedding model: build a set beside the active one, evaluate, switch, roll back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

import dagster as dg
import numpy as np
import pytest

from pipeline_assets.assets.backlog import model_check_result
from pipeline_assets.definitions import build_definitions
from pipeline_assets.ops.model_switch import pending_steps
from playhead.core.errors import InvalidEngineOutput, ModelUnavailable
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import FREE, Engine, Price, Recording
from playhead.core.spend_confirmation import CostNotConfirmed
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.search.embedding_sets import InvalidSetState, SetIncomplete
from playhead.search.service import SearchResult, SearchService
from playhead.services.context import PipelineServices
from playhead.services.model_switch import ModelSwitch
from playhead.services.set_evaluation import EvaluationFailed
from tests.integration.conftest import Pipeline

Add = Callable[[str], Recording]


class CountingEmbedder(StubEmbedder):
    """A counting model with vectors of ``dimensions`` and chunks of at most ``window_tokens``."""

    def __init__(self, model: str, dimensions: int = 64, window_tokens: int = 512) -> None:
        self.engine = Engine("stub", model)
        self.dimensions = dimensions
        self.window_tokens = window_tokens
        self.price = FREE
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return super().embed(texts)


class BlindEmbedder(StubEmbedder):
    """A model that gives every text the same vector."""

    engine = Engine("stub", "blind")

    def embed(self, texts: Sequence[str]) -> Vectors:
        same = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        same[:, 0] = 1.0
        return same


class WrongSizeEmbedder(StubEmbedder):
    """A model that returns fewer dimensions than it states."""

    engine = Engine("stub", "liar")
    dimensions = 65

    def embed(self, texts: Sequence[str]) -> Vectors:
        return super().embed(texts)[:, :64]


class ModelRegistry(dict[str, StubEmbedder]):
    """The models of the installation, by name."""

    def counting(self, name: str) -> CountingEmbedder:
        model = self[name]
        assert isinstance(model, CountingEmbedder)
        return model


@pytest.fixture
def models() -> ModelRegistry:
    priced = CountingEmbedder("priced")
    priced.price = Price(usd_per_call=10.0)
    return ModelRegistry(
        stub=StubEmbedder(),
        wide=CountingEmbedder("wide", dimensions=96, window_tokens=24),
        priced=priced,
        blind=BlindEmbedder(),
        liar=WrongSizeEmbedder(),
    )


@pytest.fixture
def with_models(pipeline: Pipeline, models: ModelRegistry) -> Pipeline:
    """Return the pipeline with all models available; the settings name ``stub``."""
    return with_default_model("stub", pipeline, models)


def with_default_model(default: str, pipeline: Pipeline, models: ModelRegistry) -> Pipeline:
    """Return the same installation after the settings named another embedder."""

    def factory(name: str) -> Callable[[], StubEmbedder]:
        return lambda: models[name]

    embedders = EmbedderRegistry(default, {name: factory(name) for name in models})
    services = replace(
        pipeline.services, engines=replace(pipeline.services.engines, embedders=embedders)
    )
    definitions = build_definitions(services.settings, engines=services.engines)
    return Pipeline(services, pipeline.instance, definitions)


@pytest.fixture
def switch(with_models: Pipeline) -> ModelSwitch:
    return ModelSwitch(with_models.services, with_models.services.engines.embedders)


def add_set(switch: ModelSwitch, name: str) -> int:
    return switch.add(name, author="Ada", confirmed_usd=None).id


def search(services: PipelineServices, query: str) -> SearchResult:
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    return find(query)


def active_model(services: PipelineServices) -> str:
    active = services.search.embedding_sets.active()
    assert active is not None
    return active.name


def run_schedule(pipeline: Pipeline) -> None:
    job = pipeline.definitions.resolve_job_def("switch_embedding_model")
    assert job.execute_in_process(instance=pipeline.instance).success


def test_new_set_is_built_beside_the_active_one_and_activated(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"), add("b.wav"))
    new_set = add_set(switch, "wide")
    with_models.run_plans()
    sets = with_models.services.search.embedding_sets
    assert active_model(with_models.services) == "stub"
    assert sets.progress(sets.get(new_set)).lacking == 0
    before = {hit.recording for hit in search(with_models.services, "amber birch").hits}
    switch.activate(sets.get(new_set))
    assert active_model(with_models.services) == "wide"
    assert {hit.recording for hit in search(with_models.services, "amber birch").hits} == before
    assert all(len(text.split()) <= 24 for text in models.counting("wide").embedded)


def test_set_built_again_reuses_its_embeddings(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    new_set = add_set(switch, "wide")
    with_models.run_plans()
    embedded_before = list(models.counting("wide").embedded)
    assert len(embedded_before) == len(set(embedded_before))
    switch.retire(with_models.services.search.embedding_sets.get(new_set))
    assert add_set(switch, "wide") == new_set
    with_models.run_plans()
    assert (
        with_models.services.search.embedding_sets.progress(
            with_models.services.search.embedding_sets.get(new_set)
        ).lacking
        == 0
    )
    assert [text for text in models.counting("wide").embedded if text not in embedded_before] == []
    assert len(models.counting("wide").embedded) == len(embedded_before) + 1, (
        "but for the question at add"
    )


def test_recording_added_during_a_build_is_embedded_for_both_sets(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(add("a.wav"))
    new_set = add_set(switch, "wide")
    with_models.run(add("late.wav"))
    with_models.run_plans()
    sets = with_models.services.search.embedding_sets
    for embedding_set in sets.live():
        assert sets.progress(embedding_set).lacking == 0
    switch.activate(sets.get(new_set))
    assert switch.rollback().name == "stub"


def test_archived_recordings_are_in_the_new_set(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    old = add("a.wav")
    with_models.run(old, add("b.wav"))
    with_models.services.pipeline.recordings.archive("default", [old.id])
    with_models.instance.delete_dynamic_partition("recordings", old.partition_key)
    new_set = with_models.services.search.embedding_sets.get(add_set(switch, "wide"))
    with_models.run_plans()
    switch.activate(new_set)
    assert old.id in {
        hit.recording for hit in search(with_models.services, "amber birch cedar").hits
    }


def test_incomplete_set_cannot_be_activated(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(add("a.wav"))
    new_set = with_models.services.search.embedding_sets.get(add_set(switch, "wide"))
    with pytest.raises(EvaluationFailed, match="1 recordings are missing"):
        switch.activate(new_set)
    with pytest.raises(SetIncomplete):
        with_models.services.search.embedding_sets.activate(new_set)
    assert active_model(with_models.services) == "stub"


def test_model_that_finds_nothing_fails_its_evaluation(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(*[add(f"{number:02}.wav") for number in range(24)])
    new_set = add_set(switch, "blind")
    with_models.run_plans()
    with pytest.raises(EvaluationFailed, match="known passages"):
        switch.activate(with_models.services.search.embedding_sets.get(new_set))
    assert active_model(with_models.services) == "stub"
    evaluation = with_models.services.search.embedding_sets.get(new_set).gate
    assert evaluation is not None
    assert evaluation["faults"]


def test_unknown_or_wrong_size_model_is_rejected(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(add("a.wav"))
    with pytest.raises(ModelUnavailable, match="priced, stub"):
        add_set(switch, "gpt-7")
    with pytest.raises(InvalidEngineOutput, match="65 dimensions"):
        add_set(switch, "liar")
    assert [
        embedding_set.name for embedding_set in with_models.services.search.embedding_sets.all()
    ] == ["stub"]


def test_expensive_model_needs_confirmation(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(add("a.wav"))
    with pytest.raises(CostNotConfirmed, match=r"\$10\.00"):
        add_set(switch, "priced")
    assert switch.add("priced", author="Ada", confirmed_usd=10.0).state == "building"


def test_new_weights_under_the_same_name_are_not_mixed_with_old_vectors(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    models["stub"] = CountingEmbedder("stub-2")
    updated = with_default_model("stub", with_models, models)
    found = search(updated.services, "amber")
    assert found.hits
    assert found.note is not None
    assert "full-text search only" in found.note
    result = updated.run(add("b.wav"))
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "playhead models add stub" in str(failed.step_failure_data.user_failure_data)
    assert len(updated.services.pipeline.recordings.pending(limit=9)) == 1, (
        "what arrives waits for a person"
    )


def test_failing_model_in_a_build_does_not_stop_new_recordings(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    add_set(switch, "wide")
    models["wide"] = WrongSizeEmbedder()
    updated = with_default_model("stub", with_models, models)
    assert updated.run(add("b.wav")).success
    assert [
        recording.status for recording in updated.services.pipeline.recordings.statuses("default")
    ] == ["ready"] * 2


def test_schedule_follows_the_settings_and_respects_a_rollback(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    updated = with_default_model("wide", with_models, models)
    run_schedule(updated)
    assert active_model(updated.services) == "stub"
    updated.run_plans()
    run_schedule(updated)
    assert active_model(updated.services) == "wide"
    switch.rollback()
    run_schedule(updated)
    assert active_model(updated.services) == "stub", "a person went back"


def test_schedule_does_not_start_an_expensive_build(
    with_models: Pipeline, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    run_schedule(with_default_model("priced", with_models, models))
    assert [
        embedding_set.name for embedding_set in with_models.services.search.embedding_sets.all()
    ] == ["stub"]


def test_remaining_build_of_an_expensive_set_needs_confirmation(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    priced_set = with_models.services.search.embedding_sets.get(
        switch.add("priced", author="Ada", confirmed_usd=10.0).id
    )
    [plan] = with_models.services.pipeline.plans.under_way()
    with_models.services.pipeline.plans.cancel(plan.id)
    with pytest.raises(CostNotConfirmed):
        switch.build(priced_set, author="schedule", confirmed_usd=None)


def test_schedule_respects_a_cancelled_build(
    with_models: Pipeline, switch: ModelSwitch, models: ModelRegistry, add: Add
) -> None:
    with_models.run(add("a.wav"))
    add_set(switch, "wide")
    updated = with_default_model("wide", with_models, models)
    assert pending_steps(updated.services) == [], "its plan is open"
    [plan] = updated.services.pipeline.plans.under_way()
    updated.services.pipeline.plans.cancel(plan.id)
    assert pending_steps(updated.services) == []
    run_schedule(updated)
    assert updated.services.pipeline.plans.under_way() == []


def test_schedule_requests_no_run_without_a_difference(with_models: Pipeline, add: Add) -> None:
    with_models.run(add("a.wav"))
    schedule_def = with_models.definitions.resolve_schedule_def("model_switch_schedule")
    context = dg.build_schedule_context(
        with_models.instance, resources={"playhead": with_models.services}
    )
    assert not schedule_def.evaluate_tick(context).run_requests


def test_rollback_before_a_switch_is_rejected(
    with_models: Pipeline, switch: ModelSwitch, add: Add
) -> None:
    with_models.run(add("a.wav"))
    with pytest.raises(InvalidSetState, match="no set to roll back to"):
        switch.rollback()


@pytest.mark.parametrize(
    ("today", "passed", "severity"),
    [
        (date(2026, 12, 1), True, dg.AssetCheckSeverity.WARN),
        (date(2027, 1, 1), False, dg.AssetCheckSeverity.WARN),
        (date(2027, 2, 20), False, dg.AssetCheckSeverity.ERROR),
    ],
)
def test_announced_shutdown_of_a_model_is_a_warning_and_then_an_error(
    today: date, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    result = model_check_result(["whisper-1", "minilm"], today)
    assert result.passed == passed
    assert result.passed or result.severity == severity
