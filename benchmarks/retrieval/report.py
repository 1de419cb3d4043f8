"""Labelled talks in a real installation: through the pipeline's own stages, chunker and embedder.

Only the listening is replaced, by one who knows the words. Not here: the talks (``labelled.py``).
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


class Teller(StubTranscriber):
    """Says what it was given, whatever the file."""

    def __init__(self, told: Transcript) -> None:
        self._told = told

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return self._told


def lay_in(services: PipelineServices, talks: Iterable[Talk]) -> dict[str, str]:
    """Each talk as a recording that can be searched; their ids by name."""
    return {
        talk.name: process(services, Teller(talk.transcript), title=talk.name, kind="lecture").id
        for talk in talks
    }
