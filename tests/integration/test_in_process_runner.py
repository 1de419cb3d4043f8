"""The in-process runner: pending recordings, plans, and stopping."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from pipeline_assets.definitions import build_definitions
from pipeline_assets.worker.in_process_runner import InProcessRunner
from playhead.core.records import Engine, Recording
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.pipeline.plans import Scope
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline

REPOSITORY = Path(__file__).parents[2]
Add = Callable[[str], Recording]

#: A run that is cancelled and does not stop.
STUBBORN_PROGRAM = """
import threading, time
import dagster as dg
from pipeline_assets.worker import cancellation
cancellation._POLL_INTERVAL_SECONDS = cancellation._KILL_AFTER_SECONDS = 0.1

@dg.job
def empty(): ...

with dg.DagsterInstance.ephemeral() as instance:
    run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)
    with cancellation.stop_on_termination(instance, run.run_id, threading.Event()):
        instance.report_run_canceled(run)
        time.sleep(60)
"""


class NextTranscriber(StubTranscriber):
    engine = Engine("stub", "stub-2")


def make_runner(services: PipelineServices, instance: dg.DagsterInstance) -> InProcessRunner:
    return InProcessRunner(
        services, instance, build_definitions(services.settings, services=services)
    )


def statuses(services: PipelineServices) -> set[str]:
    return {status.status for status in services.pipeline.recordings.statuses("default")}


def test_runner_processes_every_pending_recording(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    for number in range(5):
        add(f"{number}.wav")
    make_runner(services, instance).drain()
    assert statuses(services) == {"ready"}
    assert instance.get_runs_count() == 1


def test_stopped_runner_starts_nothing(
    services: PipelineServices, instance: dg.DagsterInstance, add: Add
) -> None:
    recording = add("a.wav")
    runner = make_runner(services, instance)
    runner.stop()
    runner.drain()
    runner.run_until_done(None)
    assert instance.get_runs_count() == 0
    assert services.pipeline.recordings.pending(limit=9, unrequested=True) == [recording]


def test_new_recordings_are_processed_between_runs_of_a_plan(
    pipeline: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_assets.runs.RECORDINGS_PER_RUN", 1)
    for number in range(3):
        pipeline.run(add(f"{number}.wav"))
    engines = replace(pipeline.services.engines, transcriber=NextTranscriber())
    services = replace(pipeline.services, engines=engines)
    runner = make_runner(services, pipeline.instance)
    services.pipeline.plans.open(Scope(), author="Ada", estimated_usd=0.0, confirmed_usd=None)
    before = pipeline.instance.get_runs_count()
    assert runner.run_plans(unless=lambda: True)
    assert pipeline.instance.get_runs_count() == before + 1
    while runner.run_plans(unless=lambda: False):
        pass
    assert pipeline.instance.get_runs_count() == before + 3
    assert services.pipeline.plans.under_way() == []


def test_cancelled_run_that_does_not_stop_ends_its_process() -> None:
    started_at = time.monotonic()
    completed = subprocess.run(
        [sys.executable, "-c", STUBBORN_PROGRAM],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 1
    assert "does not stop" in completed.stderr
    assert time.monotonic() - started_at < 50
