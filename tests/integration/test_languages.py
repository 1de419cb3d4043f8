"""Recordings in several languages: each chunk is split and searched in its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from pipeline_assets.definitions import build_definitions
from playhead.core.records import Engine, Segment, Transcript, Word
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.transcription.whisper import LocalWhisper
from playhead.postgres.database import Database
from playhead.services.context import PipelineServices
from tests.integration.conftest import Pipeline, write_sound
from tests.support import media_files

ENGLISH = ["The engines were running all night long.", "Nobody knew who had started them."] * 60
SPANISH = ["Los motores corrieron toda la noche.", "Nadie supo quién los había encendido."] * 60


def make_bilingual_transcript() -> Transcript:
    """Return a segment per sentence, half a second per word, Spanish from the middle on."""
    words: list[Word] = []
    segments: list[Segment] = []
    for number, sentence in enumerate([*ENGLISH, *SPANISH]):
        start = len(words) / 2
        words += [
            Word(word, start + at / 2, start + at / 2 + 0.5)
            for at, word in enumerate(sentence.split())
        ]
        language = "es" if number >= len(ENGLISH) else None
        segments.append(Segment(sentence, start, len(words) / 2, language=language))
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, "en", len(words) / 2, tuple(words), tuple(segments))


class BilingualTranscriber(StubTranscriber):
    engine = Engine("bilingual", "1")

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return make_bilingual_transcript()


def test_chunk_is_searched_in_its_own_language(
    services: PipelineServices, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    services = replace(
        services, engines=replace(services.engines, transcriber=BilingualTranscriber())
    )
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    file = write_sound(tmp_path / "two.wav")
    recording = services.ingest.add(file, org_id="default").recording
    assert pipeline.run(recording).success
    database = Database(services.settings.database_url or "")
    rows = database.rows(b"select text, search_config::text as config from chunks order by ordinal")
    database.close()
    for row in rows:
        spanish = row["text"].count("noche") + row["text"].count("Nadie")
        english = row["text"].count("night") + row["text"].count("Nobody")
        assert row["config"] == ("spanish" if spanish > english else "english")
    assert {row["config"] for row in rows} == {"english", "spanish"}


def test_transcript_stores_the_language_of_each_segment(
    services: PipelineServices, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    services = replace(
        services, engines=replace(services.engines, transcriber=BilingualTranscriber())
    )
    pipeline = Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )
    file = write_sound(tmp_path / "two.wav")
    recording = services.ingest.add(file, org_id="default").recording
    assert pipeline.run(recording, only=("raw_media", "transcript")).success
    assert services.pipeline.versions.current(recording) == make_bilingual_transcript()


def test_piecewise_transcription_detects_the_language_of_a_segment(tmp_path: Path) -> None:
    names = ("en_austen_0870", "en_austen_0920", "en_jfk", "en_austen_0890")
    english = [np.append(media_files.speech(name), media_files.silence(0.5)) for name in names]
    sound = np.concatenate([*english, media_files.silence(1), media_files.speech("ja_cv_24511055")])
    file = media_files.make_audio(tmp_path / "mixed.flac", sound)
    transcript = PiecewiseTranscriber(LocalWhisper("whisper-base")).transcribe(
        file, language=None, progress=lambda _: None
    )
    assert transcript.language == "en"
    assert "country can do for you" in transcript.text
    spoken = {segment.language for segment in transcript.segments}
    assert spoken == {None, "ja"}
    assert "キャンプ" in transcript.text
