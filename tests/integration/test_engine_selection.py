"""Engine selection by organisation and kind, and for a single recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.definitions import build_definitions
from playhead.cli.main import playhead
from playhead.core.errors import InvalidSettings, ModelUnavailable, PermanentError
from playhead.core.protocols.transcriber import Transcriber
from playhead.core.records import Engine, EngineSelection, Recording, Transcript
from playhead.core.settings import EngineNames, Settings
from playhead.engines.registry import EngineOverrides, build_engines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.pipeline.plans import Scope
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

Add = Callable[[str], Recording]


class FailingTranscriber(StubTranscriber):
    """A transcriber that always fails."""

    engine = Engine("stub", "deaf")

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        raise PermanentError("I hear nothing.", remedy="Take another engine.")


class OtherTranscriber(StubTranscriber):
    engine = Engine("stub", "other")


def with_engines(
    pipeline: Pipeline, overrides: EngineOverrides, default: Transcriber | None = None
) -> Pipeline:
    engines_before = pipeline.services.engines
    engines = replace(
        engines_before, overrides=overrides, transcriber=default or engines_before.transcriber
    )
    definitions = build_definitions(pipeline.services.settings, engines=engines)
    return Pipeline(replace(pipeline.services, engines=engines), pipeline.instance, definitions)


def transcriber_model(services: PipelineServices, recording: Recording) -> str:
    rows = {row["stage"]: row for row in services.pipeline.results.lineage(recording)}
    return str(rows["transcript"]["recipe"]["model"])


def override_for_kind(kind: str) -> EngineOverrides:
    return EngineOverrides(
        transcriber=lambda choice: OtherTranscriber() if choice.kind == kind else None
    )


def stale_counts(services: PipelineServices) -> dict[str, int]:
    found = services.pipeline.plans.differences(desired_recipes(services), Scope())
    return {
        difference.stage: difference.recordings
        for difference in found
        if difference.reason == "stale"
    }


def test_kind_is_processed_by_its_configured_engine(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    meetings = with_engines(pipeline, override_for_kind("recording"))
    meetings.run(recording)
    assert transcriber_model(pipeline.services, recording) == "other"


def test_recordings_are_stale_only_if_their_engine_changed(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert stale_counts(with_engines(pipeline, override_for_kind("meeting")).services) == {}
    assert stale_counts(with_engines(pipeline, override_for_kind("recording")).services) == {
        "transcript": 2
    }


def test_retry_with_another_engine_succeeds_after_a_failure(pipeline: Pipeline, add: Add) -> None:
    first, second = add("a.wav"), add("b.wav")
    by_name = EngineOverrides(
        transcriber=lambda choice: OtherTranscriber() if choice.transcriber else None
    )
    failing = with_engines(pipeline, by_name, FailingTranscriber())
    failing.run(first, second)
    recordings = failing.services.pipeline.recordings
    recordings.select_engine(first, "transcript", "other")
    recordings.requeue(first.org_id, [first.id])
    [recording_] = recordings.get_many([first.id])
    failing.run(recording_)
    assert transcriber_model(failing.services, recording_) == "other"
    assert [letter.id for letter in recordings.dead_letters()] == [second.id]
    assert stale_counts(failing.services) == {}


def test_unavailable_engine_hides_no_other_difference(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording, add("b.wav"))

    def raise_unavailable(choice: EngineSelection) -> Transcriber | None:
        if choice.transcriber:
            raise ModelUnavailable("It is gone.", remedy="Choose another.")
        return OtherTranscriber()

    pipeline.services.pipeline.recordings.select_engine(recording, "transcript", "gone")
    assert stale_counts(
        with_engines(pipeline, EngineOverrides(transcriber=raise_unavailable)).services
    ) == {"transcript": 1}


def test_retry_rejects_an_unknown_engine(
    pipeline: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = add("a.wav")
    with_engines(pipeline, EngineOverrides(), FailingTranscriber()).run(recording)
    settings = pipeline.services.settings
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    result = CliRunner().invoke(playhead, ["retry", "--engine", "nobody", recording.id])
    assert isinstance(result.exception, ModelUnavailable)
    assert "whisper-base" in str(result.exception)
    assert [letter.id for letter in pipeline.services.pipeline.recordings.dead_letters()] == [
        recording.id
    ]
    result = CliRunner().invoke(playhead, ["retry", "--engine", "whisper-tiny.en", recording.id])
    assert result.exit_code == 0, result.output
    [recording_] = pipeline.services.pipeline.recordings.get_many([recording.id])
    assert recording_.transcriber == "whisper-tiny.en"
    assert pipeline.services.pipeline.recordings.dead_letters() == []


def test_most_specific_engine_setting_applies() -> None:
    settings = Settings(
        transcriber="whisper-base",
        engines={
            "acme/*": EngineNames(transcriber="stub"),
            "*/meeting": EngineNames(transcriber="whisper-tiny.en", writer="extractive"),
            "acme/meeting": EngineNames(transcriber="whisper-tiny.en"),
        },
    )
    assert settings.transcriber_for("acme", "meeting") == "whisper-tiny.en"
    assert settings.transcriber_for("acme", "lecture") == "stub"
    assert settings.transcriber_for("other", "meeting") == "whisper-tiny.en"
    assert settings.transcriber_for("other", "lecture") == "whisper-base"


def test_unknown_engines_are_all_reported_with_their_setting() -> None:
    settings = Settings(
        transcriber="nobody", engines={"acme/*": EngineNames(writer="nobody either")}
    )
    with pytest.raises(InvalidSettings) as caught:
        build_engines(settings)
    assert "PLAYHEAD_TRANSCRIBER: There is no transcriber 'nobody'" in str(caught.value)
    assert "PLAYHEAD_ENGINES.acme/*: There is no writer 'nobody either'" in str(caught.value)
