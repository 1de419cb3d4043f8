"""Runs in Dagster: materialized assets, failures of single recordings, and reuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import pytest

from pipeline_assets.assets.stage import RecordingContext, RunAttempt
from pipeline_assets.assets.transcript import make_transcript
from pipeline_assets.definitions import build_definitions
from playhead.core.errors import PlayheadError, TransientError
from playhead.core.records import STAGES, Recording, Transcript
from playhead.engines.transcription.stub import StubTranscriber
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

Add = Callable[[str], Recording]


class CountingTranscriber(StubTranscriber):
    """A transcriber that counts its calls and raises ``error`` if it is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.calls += 1
        if self.error:
            raise self.error
        return super().transcribe(media, **how)


@pytest.fixture
def counting_services(services: PipelineServices) -> tuple[PipelineServices, CountingTranscriber]:
    transcriber = CountingTranscriber()
    return replace(
        services, engines=replace(services.engines, transcriber=transcriber)
    ), transcriber


def make_context(
    services: PipelineServices, recording: Recording, *, is_final: bool = False
) -> RecordingContext:
    current = services.pipeline.results.current_results([recording])[recording.id]
    attempt = RunAttempt("run", is_final=is_final, log=print)
    return RecordingContext(services, recording, attempt, services.embedding_targets(), current)


def test_run_with_a_bad_file_fails_only_that_recording(pipeline: Pipeline, add: Add) -> None:
    good = [add(f"{number}.wav") for number in range(5)]
    bad = add("not_sound.txt")
    others = [add(f"{number}.wav") for number in range(5, 9)]
    result = pipeline.run(*good, bad, *others)
    assert not result.success
    for stage in STAGES:
        assert pipeline.materialised(stage) == {recording.id for recording in [*good, *others]}
    statuses = {
        status.id: status for status in pipeline.services.pipeline.recordings.statuses("default")
    }
    error = statuses.pop(bad.id).error
    assert error is not None
    assert error["class"] == "UnreadableMedia"
    assert {status.status for status in statuses.values()} == {"ready"}


def test_run_materializes_every_stage_once_with_its_lineage(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    for stage in STAGES:
        [record] = pipeline.instance.fetch_materializations(dg.AssetKey(stage), limit=5).records
        event = record.asset_materialization
        assert event is not None
        assert event.partition == recording.partition_key
        assert {"lineage", "run", "runtime_seconds", "cost_usd"} <= set(event.metadata)


def test_run_evaluates_checks_per_recording(pipeline: Pipeline, add: Add) -> None:
    result = pipeline.run(add("a.wav"))
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 8
    assert all(evaluation.passed and evaluation.partition for evaluation in evaluations)


def test_second_run_calls_no_model(
    counting_services: tuple[PipelineServices, CountingTranscriber],
    instance: dg.DagsterInstance,
    add: Add,
) -> None:
    services, transcriber = counting_services
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    recording = add("a.wav")
    for _ in range(3):
        assert pipeline.run(recording).success
    assert transcriber.calls == 1


def test_single_asset_can_be_materialized(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    assert pipeline.run(recording, only=("raw_media", "transcript")).success
    assert pipeline.materialised("transcript") == {recording.id}
    assert pipeline.materialised("document") == set()
    assert pipeline.services.pipeline.recordings.statuses("default")[0].status == "transcribed"
    assert pipeline.run(recording, only=("document",)).success


def test_stage_without_its_input_names_the_missing_stage(pipeline: Pipeline, add: Add) -> None:
    result = pipeline.run(add("a.wav"), only=("chunks",))
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "Materialize transcript first" in str(failed.step_failure_data.user_failure_data)


def test_transient_error_is_dead_lettered_only_on_the_final_attempt(
    counting_services: tuple[PipelineServices, CountingTranscriber], pipeline: Pipeline, add: Add
) -> None:
    services, transcriber = counting_services
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media",))
    transcriber.error = TransientError("the engine is away", remedy="wait")
    for is_final in (False, True):
        assert services.pipeline.recordings.dead_letters() == []
        with pytest.raises(PlayheadError, match="away"):
            make_transcript(make_context(services, recording, is_final=is_final))
    [letter] = services.pipeline.recordings.dead_letters()
    assert (letter.stage, letter.error_class, letter.attempts) == (
        "transcript",
        "TransientError",
        2,
    )
    transcriber.error = None
    assert not make_transcript(make_context(services, recording)).unchanged
    assert services.pipeline.recordings.dead_letters() == []


def test_unexpected_error_is_stored_with_its_name(
    counting_services: tuple[PipelineServices, CountingTranscriber], pipeline: Pipeline, add: Add
) -> None:
    services, transcriber = counting_services
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media",))
    transcriber.error = ZeroDivisionError("by zero")
    with pytest.raises(PlayheadError):
        make_transcript(make_context(services, recording, is_final=True))
    [letter] = services.pipeline.recordings.dead_letters()
    assert "ZeroDivisionError: by zero" in letter.message


class StoppingTranscriber(StubTranscriber):
    """A transcriber that stops its worker when it begins."""

    def __init__(self, stopping: Event) -> None:
        self.stopping = stopping

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.stopping.set()
        return super().transcribe(media, **how)


def test_stopped_worker_releases_its_recordings_without_failures(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    stopping = Event()
    engines = replace(services.engines, transcriber=StoppingTranscriber(stopping))
    stoppable = replace(services, engines=engines, stopping=stopping)
    definitions = build_definitions(services.settings, services=stoppable)
    pipeline = Pipeline(services, instance, definitions)
    recordings = [add("a.wav"), add("b.wav")]
    assert not pipeline.run(*recordings).success
    assert pipeline.materialised("raw_media") == {recordings[0].id}
    assert pipeline.materialised("transcript") == set()
    assert services.pipeline.recordings.dead_letters() == []
    assert services.pipeline.recordings.pending(limit=5) == recordings


def test_materializations_link_data_versions_of_their_inputs(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    versions: dict[str, dict[str, str]] = {}
    for stage in STAGES:
        [record] = pipeline.instance.fetch_materializations(dg.AssetKey(stage), limit=1).records
        assert record.asset_materialization is not None
        versions[stage] = dict(record.asset_materialization.tags or {})
    for parent, child in pairwise(STAGES):
        input_version = versions[child][f"dagster/input_data_version/{parent}"]
        assert input_version == versions[parent]["dagster/data_version"]


def test_missing_media_file_is_dead_lettered_and_restored_by_adding_it(
    pipeline: Pipeline, add: Add
) -> None:
    recording = add("a.wav")
    services = pipeline.services
    services.files.media.delete_unregistered(recording)
    assert not pipeline.run(recording).success
    [letter] = services.pipeline.recordings.dead_letters()
    assert (letter.error_class, letter.attempts) == ("MediaMissing", 1)
    assert "Add the same file again" in letter.remedy
    assert add("a.wav") == recording
    services.pipeline.recordings.requeue("default", [recording.id])
    assert pipeline.run(recording).success
