"""The notebook's page is true, and its frames are the same whatever is in them."""

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
SHOWN: dict[str, tuple[str, Kind]] = {
    "en_jfk": ("Kennedy: inaugural address", "lecture"),
    "en_austen_0890": ("Austen: cold hearted", "book"),
    "en_austen_0920": ("Austen: more amiable", "book"),
}


class Known(StubTranscriber):
    """Hears what the manifest says, a word as long as any other."""

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        [clip] = [clip for clip in clips() if clip.path.read_bytes() == media.read_bytes()]
        said = clip.text.split()
        rate_limiter = clip.seconds / len(said)
        words = tuple(
            Word(word, at * rate_limiter, (at + 1) * rate_limiter) for at, word in enumerate(said)
        )
        whole = Segment(clip.text, 0.0, clip.seconds, "SPEAKER_0")
        return Transcript(clip.text, clip.language, clip.seconds, words, (whole,))


@pytest.fixture
def services(services: PipelineServices) -> PipelineServices:
    return replace(services, engines=replace(services.engines, transcriber=Known()))


@pytest.fixture
def environment(
    services: PipelineServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env is
    monkeypatch.setenv("DATABASE_URL", str(services.settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(services.settings.home))
    monkeypatch.setenv("PLAYHEAD_EMBEDDER", "instant")


@pytest.fixture
def filled(environment: None, pipeline: Pipeline) -> None:
    """Three recordings, and one question that was paid for."""
    take_in, books = pipeline.services.ingest.add, pipeline.services.provider_use.spend
    taken = [
        take_in(SPEECH / f"{name}.flac", org_id="default", title=title, kind=kind).recording
        for name, (title, kind) in SHOWN.items()
    ]
    assert pipeline.run(*taken).success
    errand = CallContext("default", "answer", {taken[0].id: 1.0})
    intended = ReservationRequest(uuid.uuid4(), "openai", "gpt-6-luna", "chat", 0.01)
    permit = books.reserve(errand, intended, None)
    assert permit.attempt_id
    books.settle("default", permit.attempt_id, Settlement(0.0021, Usage(1200, 340, 0.0)))


@pytest.fixture
def database(environment: None, services: PipelineServices) -> Iterator[Database]:
    database = Database(str(services.settings.database_url))
    yield database
    database.close()


def shown(cell: str, names: dict[str, Any]) -> str:
    """Run as a notebook does: what its last line comes to is shown."""
    *body, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], ast.Expr(ast.Constant(None))
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return "" if value is None else str(value)


def test_every_cell_of_the_page_shows_what_the_page_shows(filled: None) -> None:
    names: dict[str, Any] = {}
    with pd.option_context("display.width", 100, "display.max_columns", 20):
        for cell, output in CELL.findall(PAGE):
            assert shown(cell, names) == output.rstrip("\n"), cell


def typed(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def every_frame(home: Library) -> dict[str, tuple[pd.DataFrame, frames.Columns]]:
    return {
        "recordings": (home.recordings(), frames.RECORDINGS),
        "words": (home.words(), frames.WORDS),
        "chunks": (home.chunks(), frames.CHUNKS),
        "search": (home.search("one two"), frames.HITS),
        "ask": (home.ask("What about one two three?"), frames.CITATIONS),
        "spend": (home.spend("recording"), {"recording": "str", **frames.SUMS}),
    }


def test_a_frame_has_its_columns_and_types_with_and_without_rows(database: Database) -> None:
    with playhead.open() as home:
        for name, (frame, columns) in every_frame(home).items():
            assert (name, frame.empty, typed(frame)) == (name, True, dict(columns))
        worker = PipelineDriver(database, model=StubEmbedder.engine, dimensions=64)
        worker.run_all_stages(factories.add_recording(database), ["one two three", "four"])
        factories.add_recording(database)  # of which next to nothing is known yet
        for name, (frame, columns) in every_frame(home).items():
            assert (name, typed(frame)) == (name, dict(columns))
        assert len(home.recordings()) == 2
        assert home.recordings().language.isna().sum() == 1
        worker.results.close()


def test_the_page_tells_every_column(database: Database) -> None:
    with playhead.open() as home:
        for name, (frame, _) in every_frame(home).items():
            [row] = re.findall(rf"^\| `{name}\(.*?\)` \| (.*) \|$", PAGE, re.MULTILINE)
            told = row.replace("what it is summed by", "recording").split(", ")
            assert told == list(frame.columns)


def test_an_organisation_sees_its_own_and_no_others(database: Database) -> None:
    worker = PipelineDriver(database, model=StubEmbedder.engine, dimensions=64)
    made = {org: factories.add_recording(database, org_id=org) for org in ("acme", "zenith")}
    for recording in made.values():
        worker.run_all_stages(recording, ["one two three"])
    worker.results.close()
    with playhead.open("acme") as home:
        seen = [home.recordings(), home.words(), home.chunks(), home.search("one two three")]
        assert [set(frame.recording) for frame in seen] == [{made["acme"].id}] * 4
        for asked in (home.words, home.chunks):
            with pytest.raises(NotFound):
                asked(made["zenith"].id)
        with pytest.raises(NotFound):
            home.search("one", filters=SearchFilter(recordings=(made["zenith"].id,)))
    with pytest.raises(NotFound, match="No such organisation: nobody"):
        playhead.open("nobody")


def test_a_word_has_the_name_that_its_speaker_was_given(database: Database) -> None:
    recording = factories.add_recording(database)
    worker = PipelineDriver(database)
    worker.probe(recording)
    said = factories.make_transcript("one two three")
    segments = (Segment("one two", 0.0, 1.0, "SPEAKER_0"), Segment("three", 1.0, 1.5))
    worker.transcribe(recording, replace(said, segments=segments))
    with playhead.open() as home, open_services(load_settings()) as services:
        services.pipeline.versions.name_speaker(recording, "SPEAKER_0", "Ada")
        words = home.words(recording.id)
    assert list(words.word) == ["one", "two", "three"]
    assert list(words.start_seconds) == [0.0, 0.5, 1.0]
    assert list(words.speaker.fillna("nobody")) == ["Ada", "Ada", "nobody"]
    worker.results.close()


def test_two_homes_are_open_at_once(
    environment: None, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = playhead.open()
    monkeypatch.setenv("DATABASE_URL", (other := fresh_database()))
    with playhead.open() as two:
        database = Database(other)
        factories.add_recording(database, title="In the other")
        database.close()
        assert list(two.recordings().title) == ["In the other"]
        assert library.recordings().empty
    assert library.recordings().empty
    library.close()


def test_a_cell_of_a_notebook_may_ask_while_its_event_loop_runs(database: Database) -> None:
    factories.add_recording(database)

    async def cell() -> int:
        with playhead.open() as home:
            assert home.search("one").empty
            return len(home.recordings())

    assert asyncio.run(cell()) == 1


def test_a_closed_home_says_so(environment: None) -> None:
    home = playhead.open()
    home.close()
    home.close()
    with pytest.raises(LibraryClosed):
        home.recordings()


@pytest.mark.parametrize(
    ("imported", "costly"),
    [("playhead", "click numpy pandas psycopg pydantic rich"), ("playhead.cli.main", "pandas")],
)
def test_nothing_costly_is_imported_before_it_is_used(imported: str, costly: str) -> None:
    program = f"import sys, {imported}; print(sys.modules.keys() & {set(costly.split())})"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
