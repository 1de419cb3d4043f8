"""Another embedding model: built beside the one that is searched, judged, switched, left again."""

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


class Counted(StubEmbedder):
    """Another model, counted: vectors of ``dimensions``, chunks of at most ``window_tokens``."""

    def __init__(self, model: str, dimensions: int = 64, window_tokens: int = 512) -> None:
        self.engine = Engine("instant", model)
        self.dimensions = dimensions
        self.window_tokens = window_tokens
        self.price = FREE
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return super().embed(texts)


class Blind(StubEmbedder):
    """Sees no difference between any two texts."""

    engine = Engine("instant", "blind")

    def embed(self, texts: Sequence[str]) -> Vectors:
        same = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        same[:, 0] = 1.0
        return same


class Liar(StubEmbedder):
    """Gives fewer dimensions than it says."""

    engine = Engine("instant", "liar")
    dimensions = 65

    def embed(self, texts: Sequence[str]) -> Vectors:
        return super().embed(texts)[:, :64]


class Models(dict[str, StubEmbedder]):
    """What the installation has, by name."""

    def counted(self, name: str) -> Counted:
        model = self[name]
        assert isinstance(model, Counted)
        return model


@pytest.fixture
def models() -> Models:
    priced = Counted("priced")
    priced.price = Price(usd_per_call=10.0)
    return Models(
        instant=StubEmbedder(),
        wide=Counted("wide", dimensions=96, window_tokens=24),
        priced=priced,
        blind=Blind(),
        liar=Liar(),
    )


@pytest.fixture
def several(pipeline: Pipeline, models: Models) -> Pipeline:
    """The pipeline with all of them at hand; settings name ``instant``."""
    return naming("instant", pipeline, models)


def naming(default: str, pipeline: Pipeline, models: Models) -> Pipeline:
    """The same installation after settings named another embedder."""

    def give(name: str) -> Callable[[], StubEmbedder]:
        return lambda: models[name]

    embedders = EmbedderRegistry(default, {name: give(name) for name in models})
    services = replace(
        pipeline.services, engines=replace(pipeline.services.engines, embedders=embedders)
    )
    definitions = build_definitions(services.settings, engines=services.engines)
    return Pipeline(services, pipeline.instance, definitions)


@pytest.fixture
def change(several: Pipeline) -> ModelSwitch:
    return ModelSwitch(several.services, several.services.engines.embedders)


def add_set(change: ModelSwitch, name: str) -> int:
    return change.add(name, author="Ada", confirmed_usd=None).id


def search(services: PipelineServices, query: str) -> SearchResult:
    find = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        "default",
    )
    return find(query)


def searched(services: PipelineServices) -> str:
    active = services.search.embedding_sets.active()
    assert active is not None
    return active.name


def schedule(pipeline: Pipeline) -> None:
    job = pipeline.definitions.resolve_job_def("change_embedding_model")
    assert job.execute_in_process(instance=pipeline.instance).success


def test_a_model_is_built_beside_the_one_that_is_searched_and_switched_to(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"), add("b.wav"))
    added = add_set(change, "wide")
    several.run_plans()
    sets = several.services.search.embedding_sets
    assert searched(several.services) == "instant"
    assert sets.progress(sets.get(added)).lacking == 0
    before = {hit.recording for hit in search(several.services, "amber birch").hits}
    change.activate(sets.get(added))
    assert searched(several.services) == "wide"
    assert {hit.recording for hit in search(several.services, "amber birch").hits} == before
    assert all(len(text.split()) <= 24 for text in models.counted("wide").embedded)


def test_building_again_embeds_nothing_again(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    added = add_set(change, "wide")
    several.run_plans()
    asked = list(models.counted("wide").embedded)
    assert len(asked) == len(set(asked))
    change.retire(several.services.search.embedding_sets.get(added))
    assert add_set(change, "wide") == added
    several.run_plans()
    assert (
        several.services.search.embedding_sets.progress(
            several.services.search.embedding_sets.get(added)
        ).lacking
        == 0
    )
    assert [text for text in models.counted("wide").embedded if text not in asked] == []
    assert len(models.counted("wide").embedded) == len(asked) + 1, "but for the question at add"


def test_what_arrives_during_the_change_is_embedded_for_both(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(add("a.wav"))
    added = add_set(change, "wide")
    several.run(add("late.wav"))
    several.run_plans()
    sets = several.services.search.embedding_sets
    for embedding_set in sets.live():
        assert sets.progress(embedding_set).lacking == 0
    change.activate(sets.get(added))
    assert change.rollback().name == "instant"


def test_archived_recordings_are_in_the_new_set_too(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    old = add("a.wav")
    several.run(old, add("b.wav"))
    several.services.pipeline.recordings.archive("default", [old.id])
    several.instance.delete_dynamic_partition("recordings", old.id)
    added = several.services.search.embedding_sets.get(add_set(change, "wide"))
    several.run_plans()
    change.activate(added)
    assert old.id in {hit.recording for hit in search(several.services, "amber birch cedar").hits}


def test_a_half_built_set_is_not_switched_to(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(add("a.wav"))
    added = several.services.search.embedding_sets.get(add_set(change, "wide"))
    with pytest.raises(EvaluationFailed, match="1 recordings are missing"):
        change.activate(added)
    with pytest.raises(SetIncomplete):
        several.services.search.embedding_sets.activate(added)
    assert searched(several.services) == "instant"


def test_a_model_that_finds_nothing_does_not_pass_the_gate(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(*[add(f"{number:02}.wav") for number in range(24)])
    added = add_set(change, "blind")
    several.run_plans()
    with pytest.raises(EvaluationFailed, match="known passages"):
        change.activate(several.services.search.embedding_sets.get(added))
    assert searched(several.services) == "instant"
    kept = several.services.search.embedding_sets.get(added).gate
    assert kept is not None
    assert kept["faults"]


def test_an_unknown_or_lying_model_is_refused_when_it_is_named(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(add("a.wav"))
    with pytest.raises(ModelUnavailable, match="instant, liar"):
        add_set(change, "gpt-7")
    with pytest.raises(InvalidEngineOutput, match="65 dimensions"):
        add_set(change, "liar")
    assert [
        embedding_set.name for embedding_set in several.services.search.embedding_sets.all()
    ] == ["instant"]


def test_a_dear_model_waits_for_somebody_who_agrees(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(add("a.wav"))
    with pytest.raises(CostNotConfirmed, match=r"\$10\.00"):
        add_set(change, "priced")
    assert change.add("priced", author="Ada", confirmed_usd=10.0).state == "building"


def test_vectors_of_other_weights_under_the_same_name_never_meet_the_old_ones(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    models["instant"] = Counted("instant-2")
    moved_on = naming("instant", several, models)
    found = search(moved_on.services, "amber")
    assert found.hits
    assert found.note is not None
    assert "by words alone" in found.note
    result = moved_on.run(add("b.wav"))
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "playhead models add instant" in str(failed.step_failure_data.user_failure_data)
    assert len(moved_on.services.pipeline.recordings.pending(limit=9)) == 1, (
        "what arrives waits for a person"
    )


def test_a_model_that_fails_while_it_is_built_for_stops_no_arrival(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    add_set(change, "wide")
    models["wide"] = Liar()
    limping = naming("instant", several, models)
    assert limping.run(add("b.wav")).success
    assert [
        recording.status for recording in limping.services.pipeline.recordings.statuses("default")
    ] == ["ready"] * 2


def test_the_schedule_follows_settings_to_the_end_and_respects_a_rollback(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    wanting = naming("wide", several, models)
    schedule(wanting)
    assert searched(wanting.services) == "instant"
    wanting.run_plans()
    schedule(wanting)
    assert searched(wanting.services) == "wide"
    change.rollback()
    schedule(wanting)
    assert searched(wanting.services) == "instant", "a person went back"


def test_the_schedule_begins_no_dear_model_unasked(
    several: Pipeline, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    schedule(naming("priced", several, models))
    assert [
        embedding_set.name for embedding_set in several.services.search.embedding_sets.all()
    ] == ["instant"]


def test_what_a_dear_set_lacks_later_needs_agreement_too(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    dear = several.services.search.embedding_sets.get(
        change.add("priced", author="Ada", confirmed_usd=10.0).id
    )
    [plan] = several.services.pipeline.plans.under_way()
    several.services.pipeline.plans.cancel(plan.id)
    with pytest.raises(CostNotConfirmed):
        change.build(dear, author="schedule", confirmed_usd=None)


def test_the_schedule_lets_a_person_cancel_a_build(
    several: Pipeline, change: ModelSwitch, models: Models, add: Add
) -> None:
    several.run(add("a.wav"))
    add_set(change, "wide")
    wanting = naming("wide", several, models)
    assert pending_steps(wanting.services) == [], "its plan is open"
    [plan] = wanting.services.pipeline.plans.under_way()
    wanting.services.pipeline.plans.cancel(plan.id)
    assert pending_steps(wanting.services) == []
    schedule(wanting)
    assert wanting.services.pipeline.plans.under_way() == []


def test_the_schedule_starts_no_run_while_all_is_as_it_should_be(
    several: Pipeline, add: Add
) -> None:
    several.run(add("a.wav"))
    schedule_def = several.definitions.resolve_schedule_def("model_change")
    context = dg.build_schedule_context(several.instance, resources={"playhead": several.services})
    assert not schedule_def.evaluate_tick(context).run_requests


def test_there_is_nothing_to_go_back_to_before_a_switch(
    several: Pipeline, change: ModelSwitch, add: Add
) -> None:
    several.run(add("a.wav"))
    with pytest.raises(InvalidSetState, match="no set to go back to"):
        change.rollback()


@pytest.mark.parametrize(
    ("today", "passed", "severity"),
    [
        (date(2026, 12, 1), True, dg.AssetCheckSeverity.WARN),
        (date(2027, 1, 1), False, dg.AssetCheckSeverity.WARN),
        (date(2027, 2, 20), False, dg.AssetCheckSeverity.ERROR),
    ],
)
def test_a_model_whose_end_is_announced_turns_yellow_and_then_red(
    today: date, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    verdict = model_check_result(["whisper-1", "minilm"], today)
    assert verdict.passed == passed
    assert verdict.passed or verdict.severity == severity
