"""Engines are chosen by organisation and kind, and for one recording by a person."""

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


class Deaf(StubTranscriber):
    """Hears nothing that anybody says."""

    engine = Engine("instant", "deaf")

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        raise PermanentError("I hear nothing.", remedy="Take another engine.")


class Other(StubTranscriber):
    engine = Engine("instant", "other")


def over(
    pipeline: Pipeline, others: EngineOverrides, default: Transcriber | None = None
) -> Pipeline:
    before = pipeline.services.engines
    engines = replace(before, others=others, transcriber=default or before.transcriber)
    definitions = build_definitions(pipeline.services.settings, engines=engines)
    return Pipeline(replace(pipeline.services, engines=engines), pipeline.instance, definitions)


def heard_by(services: PipelineServices, recording: Recording) -> str:
    rows = {row["stage"]: row for row in services.pipeline.results.lineage(recording)}
    return str(rows["transcript"]["recipe"]["model"])


def for_kind(kind: str) -> EngineOverrides:
    return EngineOverrides(transcriber=lambda choice: Other() if choice.kind == kind else None)


def differing(services: PipelineServices) -> dict[str, int]:
    found = services.pipeline.plans.differences(desired_recipes(services), Scope())
    return {
        difference.stage: difference.recordings
        for difference in found
        if difference.reason == "stale"
    }


def test_a_kind_has_the_engine_that_was_chosen_for_it(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    meetings = over(pipeline, for_kind("recording"))
    meetings.run(recording)
    assert heard_by(pipeline.services, recording) == "other"


def test_only_recordings_whose_engine_was_changed_are_stale(pipeline: Pipeline, add: Add) -> None:
    pipeline.run(add("a.wav"), add("b.wav"))
    assert differing(over(pipeline, for_kind("meeting")).services) == {}
    assert differing(over(pipeline, for_kind("recording")).services) == {"transcript": 2}


def test_another_engine_takes_over_where_the_first_one_failed(pipeline: Pipeline, add: Add) -> None:
    first, two = add("a.wav"), add("b.wav")
    by_name = EngineOverrides(transcriber=lambda choice: Other() if choice.transcriber else None)
    deaf = over(pipeline, by_name, Deaf())
    deaf.run(first, two)
    recordings = deaf.services.pipeline.recordings
    recordings.select_engine(first, "transcript", "other")
    recordings.requeue(first.org_id, [first.id])
    [chosen] = recordings.get_many([first.id])
    deaf.run(chosen)
    assert heard_by(deaf.services, chosen) == "other"
    assert [letter.id for letter in recordings.dead_letters()] == [two.id]
    assert differing(deaf.services) == {}


def test_an_engine_that_is_gone_hides_no_other_difference(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.run(recording, add("b.wav"))

    def gone(choice: EngineSelection) -> Transcriber | None:
        if choice.transcriber:
            raise ModelUnavailable("It is gone.", remedy="Choose another.")
        return Other()

    pipeline.services.pipeline.recordings.select_engine(recording, "transcript", "gone")
    assert differing(over(pipeline, EngineOverrides(transcriber=gone)).services) == {
        "transcript": 1
    }


def test_retry_refuses_an_engine_that_nobody_knows(
    pipeline: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = add("a.wav")
    over(pipeline, EngineOverrides(), Deaf()).run(recording)
    settings = pipeline.services.settings
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    done = CliRunner().invoke(playhead, ["retry", "--engine", "nobody", recording.id])
    assert isinstance(done.exception, ModelUnavailable)
    assert "whisper-base" in str(done.exception)
    assert [letter.id for letter in pipeline.services.pipeline.recordings.dead_letters()] == [
        recording.id
    ]
    done = CliRunner().invoke(playhead, ["retry", "--engine", "whisper-tiny.en", recording.id])
    assert done.exit_code == 0, done.output
    [chosen] = pipeline.services.pipeline.recordings.get_many([recording.id])
    assert chosen.transcriber == "whisper-tiny.en"
    assert pipeline.services.pipeline.recordings.dead_letters() == []


def test_the_most_specific_choice_counts() -> None:
    settings = Settings(
        transcriber="whisper-base",
        engines={
            "acme/*": EngineNames(transcriber="instant"),
            "*/meeting": EngineNames(transcriber="whisper-tiny.en", writer="extractive"),
            "acme/meeting": EngineNames(transcriber="whisper-tiny.en"),
        },
    )
    assert settings.transcriber_for("acme", "meeting") == "whisper-tiny.en"
    assert settings.transcriber_for("acme", "lecture") == "instant"
    assert settings.transcriber_for("other", "meeting") == "whisper-tiny.en"
    assert settings.transcriber_for("other", "lecture") == "whisper-base"


def test_every_unknown_engine_is_told_by_its_place() -> None:
    settings = Settings(
        transcriber="nobody", engines={"acme/*": EngineNames(writer="nobody either")}
    )
    with pytest.raises(InvalidSettings) as caught:
        build_engines(settings)
    assert "PLAYHEAD_TRANSCRIBER: There is no transcriber 'nobody'" in str(caught.value)
    assert "PLAYHEAD_ENGINES.acme/*: There is no writer 'nobody either'" in str(caught.value)
