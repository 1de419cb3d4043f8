"""The notebook library and its page in the docs: output, columns and types."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import playhead
from playhead.core.call_context import CallContext
from playhead.core.errors import NotFound
from playhead.core.records import Kind, SearchFilter, Segment, Transcript, Word
from playhead.core.settings import load_settings
from playhead.core.usage import Usage
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.transcription.stub import StubTranscriber
from playhead.notebook import frames
from playhead.notebook.library import Library, LibraryClosed
from playhead.postgres.database import Database
from playhead.postgres.provider_use.spend import ReservationRequest, Settlement
from playhead.services.context import PipelineServices, open_services
from tests.integration.conftest import Pipeline
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.media_files import SPEECH, clips

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notebook.md").read_text("utf-8")
CELL = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
TALKS: dict[str, tuple[str, Kind]] = {
    "en_jfk": ("Kennedy: inaugural address", "lecture"),
    "en_austen_0890": ("Austen: cold hearted", "book"),
    "en_austen_0920": ("Austen: more amiable", "book"),
}


class ManifestTranscriber(StubTranscriber):
    """A transcriber that returns the manifest's text with words of equal length."""

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        [clip] = [clip for clip in clips() if clip.path.read_bytes() == media.read_bytes()]
        words_ = clip.text.split()
        seconds_per_word = clip.seconds / len(words_)
        words = tuple(
            Word(word, at * seconds_per_word, (at + 1) * seconds_per_word)
            for at, word in enumerate(words_)
        )
        segment = Segment(clip.text, 0.0, clip.seconds, "SPEAKER_0")
        return Transcript(clip.text, clip.language, clip.seconds, words, (segment,))


@pytest.fixture
def services(services: PipelineServices) -> PipelineServices:
    return replace(services, engines=replace(services.engines, transcriber=ManifestTranscriber()))


@pytest.fixture
def environment(
    services: PipelineServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a folder without .env
    monkeypatch.setenv("DATABASE_URL", str(services.settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(services.settings.home))
    monkeypatch.setenv("PLAYHEAD_EMBEDDER", "stub")


@pytest.fixture
def filled(environment: None, pipeline: Pipeline) -> None:
    """Add three recordings and one paid question."""
    ingest, spend = pipeline.services.ingest.add, pipeline.services.provider_use.spend
    recordings = [
        ingest(SPEECH / f"{name}.flac", org_id="default", title=title, kind=kind).recording
        for name, (title, kind) in TALKS.items()
    ]
    assert pipeline.run(*recordings).success
    context = CallContext("default", "answer", {recordings[0].id: 1.0})
    request = ReservationRequest(uuid.uuid4(), "openai", "gpt-6-luna", "chat", 0.01)
    reservation = spend.reserve(context, request, None)
    assert reservation.attempt_id
    spend.settle("default", reservation.attempt_id, Settlement(0.0021, Usage(1200, 340, 0.0)))


@pytest.fixture
def database(environment: None, services: PipelineServices) -> Iterator[Database]:
    database = Database(str(services.settings.database_url))
    yield database
    database.close()


def run_cell(cell: str, names: dict[str, Any]) -> str:
    """Run a cell as a notebook does, and return the value of its last line as text."""
    *body, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], ast.Expr(ast.Constant(None))
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return "" if value is None else str(value)


def test_page_shows_the_output_of_every_cell(filled: None) -> None:
    names: dict[str, Any] = {}
    with pd.option_context("display.width", 100, "display.max_columns", 20):
        for cell, output in CELL.findall(PAGE):
            assert run_cell(cell, names) == output.rstrip("\n"), cell


def column_types(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def all_frames(library: Library) -> dict[str, tuple[pd.DataFrame, frames.Columns]]:
    return {
        "recordings": (library.recordings(), frames.RECORDINGS),
        "words": (library.words(), frames.WORDS),
        "chunks": (library.chunks(), frames.CHUNKS),
        "search": (library.search("one two"), frames.HITS),
        "ask": (library.ask("What about one two three?"), frames.CITATIONS),
        "spend": (library.spend("recording"), {"recording": "str", **frames.SUMS}),
    }


def test_frame_has_its_columns_and_types_with_and_without_rows(database: Database) -> None:
    with playhead.open() as library:
        for name, (frame, columns) in all_frames(library).items():
            assert (name, frame.empty, column_types(frame)) == (name, True, dict(columns))
        worker = PipelineDriver(database, model=StubEmbedder.engine, dimensions=64)
        worker.run_all_stages(factories.add_recording(database), ["one two three", "four"])
        factories.add_recording(database)  # not processed yet
        for name, (frame, columns) in all_frames(library).items():
            assert (name, column_types(frame)) == (name, dict(columns))
        assert len(library.recordings()) == 2
        assert library.recordings().language.isna().sum() == 1
        worker.results.close()


def test_page_lists_every_column(database: Database) -> None:
    with playhead.open() as library:
        for name, (frame, _) in all_frames(library).items():
            [row] = re.findall(rf"^\| `{name}\(.*?\)` \| (.*) \|$", PAGE, re.MULTILINE)
            columns = row.replace("the value of `by`", "recording").split(", ")
            assert columns == list(frame.columns)


def test_frames_show_only_the_organisations_own_rows(database: Database) -> None:
    worker = PipelineDriver(database, model=StubEmbedder.engine, dimensions=64)
    by_org = {org: factories.add_recording(database, org_id=org) for org in ("acme", "zenith")}
    for recording in by_org.values():
        worker.run_all_stages(recording, ["one two three"])
    worker.results.close()
    with playhead.open("acme") as library:
        seen = [
            library.recordings(),
            library.words(),
            library.chunks(),
            library.search("one two three"),
        ]
        assert [set(frame.recording) for frame in seen] == [{by_org["acme"].id}] * 4
        for method in (library.words, library.chunks):
            with pytest.raises(NotFound):
                method(by_org["zenith"].id)
        with pytest.raises(NotFound):
            library.search("one", filters=SearchFilter(recordings=(by_org["zenith"].id,)))
    with pytest.raises(NotFound, match="No such organisation: nobody"):
        playhead.open("nobody")


def test_words_have_the_name_of_their_speaker(database: Database) -> None:
    recording = factories.add_recording(database)
    worker = PipelineDriver(database)
    worker.probe(recording)
    words_ = factories.make_transcript("one two three")
    segments = (Segment("one two", 0.0, 1.0, "SPEAKER_0"), Segment("three", 1.0, 1.5))
    worker.transcribe(recording, replace(words_, segments=segments))
    with playhead.open() as library, open_services(load_settings()) as services:
        services.pipeline.versions.name_speaker(recording, "SPEAKER_0", "Ada")
        words = library.words(recording.id)
    assert list(words.word) == ["one", "two", "three"]
    assert list(words.start_seconds) == [0.0, 0.5, 1.0]
    assert list(words.speaker.fillna("nobody")) == ["Ada", "Ada", "nobody"]
    worker.results.close()


def test_two_libraries_can_be_open_at_once(
    environment: None, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = playhead.open()
    monkeypatch.setenv("DATABASE_URL", (other := fresh_database()))
    with playhead.open() as second:
        database = Database(other)
        factories.add_recording(database, title="In the other")
        database.close()
        assert list(second.recordings().title) == ["In the other"]
        assert library.recordings().empty
    assert library.recordings().empty
    library.close()


def test_library_works_inside_a_running_event_loop(database: Database) -> None:
    factories.add_recording(database)

    async def cell() -> int:
        with playhead.open() as library:
            assert library.search("one").empty
            return len(library.recordings())

    assert asyncio.run(cell()) == 1


def test_closed_library_raises_an_error(environment: None) -> None:
    library = playhead.open()
    library.close()
    library.close()
    with pytest.raises(LibraryClosed):
        library.recordings()


@pytest.mark.parametrize(
    ("module", "expensive"),
    [("playhead", "click numpy pandas psycopg pydantic rich"), ("playhead.cli.main", "pandas")],
)
def test_expensive_packages_are_imported_only_when_used(module: str, expensive: str) -> None:
    program = f"import sys, {module}; print(sys.modules.keys() & {set(expensive.split())})"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
