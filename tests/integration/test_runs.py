"""Runs in Dagster: who is materialised, who fails alone, what is not done again."""

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
    """Counts how often it was asked, and fails while it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.trouble: Exception | None = None

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.calls += 1
        if self.trouble:
            raise self.trouble
        return super().transcribe(media, **how)


@pytest.fixture
def counted(services: PipelineServices) -> tuple[PipelineServices, CountingTranscriber]:
    transcriber = CountingTranscriber()
    return replace(
        services, engines=replace(services.engines, transcriber=transcriber)
    ), transcriber


def work(
    services: PipelineServices, recording: Recording, *, last: bool = False
) -> RecordingContext:
    current = services.pipeline.results.current_results([recording])[recording.id]
    turn = RunAttempt("run", is_final=last, log=print)
    return RecordingContext(services, recording, turn, services.embedding_targets(), current)


def test_one_bad_file_of_ten_fails_alone(pipeline: Pipeline, add: Add) -> None:
    good = [add(f"{number}.wav") for number in range(5)]
    bad = add("not_sound.txt")
    more = [add(f"{number}.wav") for number in range(5, 9)]
    result = pipeline.run(*good, bad, *more)
    assert not result.success
    for stage in STAGES:
        assert pipeline.materialised(stage) == {recording.id for recording in [*good, *more]}
    statuses = {
        status.id: status for status in pipeline.services.pipeline.recordings.statuses("default")
    }
    error = statuses.pop(bad.id).error
    assert error is not None
    assert error["class"] == "UnreadableMedia"
    assert {status.status for status in statuses.values()} == {"ready"}


def test_every_stage_is_told_to_dagster_once_with_its_lineage(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    for stage in STAGES:
        [record] = pipeline.instance.fetch_materializations(dg.AssetKey(stage), limit=5).records
        event = record.asset_materialization
        assert event is not None
        assert event.partition == recording.partition_key
        assert {"lineage", "run", "runtime_seconds", "cost_usd"} <= set(event.metadata)


def test_checks_are_told_by_recording(pipeline: Pipeline, add: Add) -> None:
    result = pipeline.run(add("a.wav"))
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 8
    assert all(evaluation.passed and evaluation.partition for evaluation in evaluations)


def test_a_second_run_asks_no_model(
    counted: tuple[PipelineServices, CountingTranscriber], instance: dg.DagsterInstance, add: Add
) -> None:
    services, transcriber = counted
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    recording = add("a.wav")
    for _ in range(3):
        assert pipeline.run(recording).success
    assert transcriber.calls == 1


def test_one_asset_can_be_materialised_alone(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    assert pipeline.run(recording, only=("raw_media", "transcript")).success
    assert pipeline.materialised("transcript") == {recording.id}
    assert pipeline.materialised("document") == set()
    assert pipeline.services.pipeline.recordings.statuses("default")[0].status == "transcribed"
    assert pipeline.run(recording, only=("document",)).success


def test_a_stage_before_its_time_says_what_is_missing(pipeline: Pipeline, add: Add) -> None:
    result = pipeline.run(add("a.wav"), only=("chunks",))
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "Materialise transcript first" in str(failed.step_failure_data.user_failure_data)


def test_a_passing_trouble_is_not_final_until_the_last_try(
    counted: tuple[PipelineServices, CountingTranscriber], pipeline: Pipeline, add: Add
) -> None:
    services, transcriber = counted
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media",))
    transcriber.trouble = TransientError("the engine is away", remedy="wait")
    for last in (False, True):
        assert services.pipeline.recordings.dead_letters() == []
        with pytest.raises(PlayheadError, match="away"):
            make_transcript(work(services, recording, last=last))
    [letter] = services.pipeline.recordings.dead_letters()
    assert (letter.stage, letter.error_class, letter.attempts) == (
        "transcript",
        "TransientError",
        2,
    )
    transcriber.trouble = None
    assert not make_transcript(work(services, recording)).unchanged
    assert services.pipeline.recordings.dead_letters() == []


def test_an_error_nobody_foresaw_is_stored_with_its_name(
    counted: tuple[PipelineServices, CountingTranscriber], pipeline: Pipeline, add: Add
) -> None:
    services, transcriber = counted
    recording = add("a.wav")
    pipeline.run(recording, only=("raw_media",))
    transcriber.trouble = ZeroDivisionError("by zero")
    with pytest.raises(PlayheadError):
        make_transcript(work(services, recording, last=True))
    [letter] = services.pipeline.recordings.dead_letters()
    assert "ZeroDivisionError: by zero" in letter.message


class StoppedWhileHearing(StubTranscriber):
    """Somebody stops the worker just as it begins to listen."""

    def __init__(self, stopping: Event) -> None:
        self.stopping = stopping

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        self.stopping.set()
        return super().transcribe(media, **how)


def test_a_stopped_worker_hands_back_what_it_is_at_and_blames_nobody(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    stopping = Event()
    engines = replace(services.engines, transcriber=StoppedWhileHearing(stopping))
    stoppable = replace(services, engines=engines, stopping=stopping)
    definitions = build_definitions(services.settings, services=stoppable)
    pipeline = Pipeline(services, instance, definitions)
    recordings = [add("a.wav"), add("b.wav")]
    assert not pipeline.run(*recordings).success
    assert pipeline.materialised("raw_media") == {recordings[0].id}
    assert pipeline.materialised("transcript") == set()
    assert services.pipeline.recordings.dead_letters() == []
    assert services.pipeline.recordings.pending(limit=5) == recordings


def test_dagster_sees_what_is_in_step_and_what_is_not(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording)
    versions: dict[str, dict[str, str]] = {}
    for stage in STAGES:
        [record] = pipeline.instance.fetch_materializations(dg.AssetKey(stage), limit=1).records
        assert record.asset_materialization is not None
        versions[stage] = dict(record.asset_materialization.tags or {})
    for before, after in pairwise(STAGES):
        made_from = versions[after][f"dagster/input_data_version/{before}"]
        assert made_from == versions[before]["dagster/data_version"]


def test_a_stored_file_that_is_gone_is_told_at_once_and_healed_by_adding_it_again(
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
