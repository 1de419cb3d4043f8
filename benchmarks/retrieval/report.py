"""Labelled talks in a real installation, through the pipeline's own stages and embedder.

Only the transcriber is replaced, by one that returns the given words.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.retrieval.labelled import Talk
from benchmarks.seeding import process
from playhead.core.records import Transcript
from playhead.engines.transcription.stub import StubTranscriber
from playhead.services.context import PipelineServices


class TalkTranscriber(StubTranscriber):
    """A transcriber that returns the given transcript for any file."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return self._transcript


def add_talks(services: PipelineServices, talks: Iterable[Talk]) -> dict[str, str]:
    """Add each talk as a searchable recording, and return their ids by name."""
    return {
        talk.name: process(
            services, TalkTranscriber(talk.transcript), title=talk.name, kind="lecture"
        ).id
        for talk in talks
    }
