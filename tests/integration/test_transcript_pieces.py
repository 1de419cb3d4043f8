"""Stored transcript pieces: reuse after a crash, and deletion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipeline_assets.definitions import build_definitions
from playhead.core.errors import RecordingDeleted
from playhead.core.records import Engine, Recording, Segment, Transcript, Word
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.database import Database
from playhead.postgres.pipeline.transcript_pieces import TranscriptPieces
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline, write_sound
from tests.support import factories, media_files
from tests.support.fake_recognizers import FakeRecognizer, speech_without_pauses

ENGINE = Engine("oracle", "oracle-1")

#: A worker that transcribes three pieces and then hangs.
WORKER_PROGRAM = """
import sys, time
from pathlib import Path
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.database import Database
from playhead.postgres.pipeline.transcript_pieces import TranscriptPieces
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from tests.support.fake_recognizers import FakeRecognizer

url, recording, file, ready = sys.argv[1:]
database = Database(url)
[known] = Recordings(database).get_many([recording])

def hang(words):
    if len(recognizer.piece_starts) > 3:
        Path(ready).touch()
        time.sleep(600)
    return words

recognizer = FakeRecognizer(Path(file), transform=hang)
transcriber = PiecewiseTranscriber(recognizer, piece_seconds=8)
finished = TranscriptPieces(database).of(known, transcriber.engine)
transcriber.transcribe(recognizer.file, language=None, progress=lambda _: None, finished=finished)
"""


def make_piece(text: str = "three small words") -> Transcript:
    words = tuple(Word(word, at, at + 0.5) for at, word in enumerate(text.split()))
    return Transcript(text, "en", 3.0, words, (Segment(text, 0.0, 2.5, "A", "fr"),), "aligned", 0.7)


def test_piece_is_read_as_stored(database: Database, recording: Recording) -> None:
    pieces = TranscriptPieces(database).of(recording, ENGINE)
    pieces.put("sound", None, make_piece())
    assert pieces.get("sound", None) == make_piece()


@pytest.mark.parametrize(
    ("engine", "sound", "language"),
    [
        (replace(ENGINE, parameters={"beam": 1}), "sound", None),
        (ENGINE, "other", None),
        (ENGINE, "sound", "en"),
    ],
    ids=["another engine", "another sound", "another language"],
)
def test_piece_of_another_key_is_not_found(
    database: Database, recording: Recording, engine: Engine, sound: str, language: str | None
) -> None:
    TranscriptPieces(database).of(recording, ENGINE).put("sound", None, make_piece())
    assert TranscriptPieces(database).of(recording, engine).get(sound, language) is None


def test_piece_of_a_deleted_recording_is_rejected(database: Database) -> None:
    unknown = factories.make_recording()
    with pytest.raises(RecordingDeleted):
        TranscriptPieces(database).of(unknown, ENGINE).put("sound", None, make_piece())


def test_killed_transcription_resumes_after_the_finished_pieces(
    database: Database, recording: Recording, tmp_path: Path
) -> None:
    file = media_files.make_audio(tmp_path / "talk.flac", speech_without_pauses(50))
    ready = tmp_path / "ready"
    command = [
        sys.executable,
        "-c",
        WORKER_PROGRAM,
        database.url,
        recording.id,
        str(file),
        str(ready),
    ]
    worker = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        while not ready.exists():
            assert worker.poll() is None
            time.sleep(0.05)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert factories.count_rows(database, b"transcript_pieces") == 3
    recognizer, uninterrupted = FakeRecognizer(file), FakeRecognizer(file)
    transcriber = PiecewiseTranscriber(recognizer, piece_seconds=8)
    cache = TranscriptPieces(database).of(recording, transcriber.engine)
    resumed = transcriber.transcribe(file, language=None, progress=lambda _: None, finished=cache)
    expected = PiecewiseTranscriber(uninterrupted, piece_seconds=8).transcribe(
        file, language=None, progress=lambda _: None
    )
    assert resumed == expected
    assert len(recognizer.piece_starts) == len(uninterrupted.piece_starts) - 3


def make_engines(transcriber: PiecewiseTranscriber) -> Engines:
    return Engines(
        transcriber, ExtractiveWriter(), EmbedderRegistry("stub", {"stub": StubEmbedder})
    )


def add_recording(services: PipelineServices, file: Path) -> Recording:
    return services.ingest.add(file, org_id="default").recording


def test_pieces_are_deleted_once_the_transcript_is_stored(
    services: PipelineServices, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    file = media_files.make_audio(tmp_path / "talk.flac", speech_without_pauses(20))
    services = replace(
        services,
        engines=make_engines(PiecewiseTranscriber(FakeRecognizer(file), piece_seconds=8)),
    )
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    recording = add_recording(services, file)
    assert pipeline.run(recording).success
    [row] = [
        row for row in services.pipeline.results.lineage(recording) if row["stage"] == "transcript"
    ]
    assert services.pipeline.content.transcript(recording, row["result_id"]).words
    assert (
        factories.count_rows(Database(services.settings.database_url or ""), b"transcript_pieces")
        == 0
    )


def test_speaker_mode_reaches_the_engine_and_is_part_of_the_inputs(
    services: PipelineServices, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    speaker_modes: list[str] = []

    class SpeakerModeTranscriber(StubTranscriber):
        def transcribe(self, media: Path, **how: Any) -> Transcript:
            speaker_modes.append(how["speakers"])
            return super().transcribe(media, **how)

    services = replace(
        services, engines=replace(services.engines, transcriber=SpeakerModeTranscriber())
    )
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    file = write_sound(tmp_path / "call.wav")
    recording = services.ingest.add(file, org_id="default", speakers="channels").recording
    assert pipeline.run(recording).success
    [row] = [
        row for row in services.pipeline.results.lineage(recording) if row["stage"] == "transcript"
    ]
    assert (speaker_modes, row["inputs"]["speakers"]) == (["channels"], "channels")
