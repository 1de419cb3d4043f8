"""What people get as files: transcripts to caption, edit and read, documents, clips."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest
from markdown_it import MarkdownIt

from playhead.cli.main import playhead
from playhead.core.errors import NotFound, StageNotReady, TimeOutOfRange
from playhead.core.records import Recording, Segment, Transcript, Word
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.media.probe import probe
from playhead.postgres.database import Database
from playhead.postgres.pipeline.transcript_versions import NothingToCorrect
from playhead.services.context import PipelineServices
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.media_files import SPEECH

Run = Callable[..., click.testing.Result]

JFK = SPEECH / "en_jfk.flac"
SAID = "And so, my fellow Americans, ask not what your country can do for you. Ask what you can do."


@pytest.fixture
def run(services: PipelineServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command, as a person gives it."""
    monkeypatch.chdir(tmp_path)  # where no .env is
    monkeypatch.setenv("DATABASE_URL", str(services.settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(services.settings.home))

    def run(*arguments: str | Path) -> click.testing.Result:
        return click.testing.CliRunner().invoke(playhead, list(map(str, arguments)))

    return run


def told(result: click.testing.Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def waiting(services: PipelineServices) -> Recording:
    """Taken in, and no more."""
    return services.ingest.add(JFK, org_id="default", title="A (good) talk").recording


@pytest.fixture
def ready(services: PipelineServices, waiting: Recording) -> Recording:
    """Heard and written up; its speaker has a name."""
    words = [Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(SAID.split())]
    whole = Segment(SAID, 0.0, 10.0, "SPEAKER_0")
    said = Transcript(SAID, "en", 10.0, tuple(words), (whole,))
    written, _ = ExtractiveWriter().write(said, title=waiting.title, kind="recording")
    database = Database(str(services.settings.database_url))
    worker = PipelineDriver(database)
    worker.probe(waiting)
    worker.transcribe(waiting, said)
    worker.write(waiting, written=written)
    worker.results.close()
    database.close()
    services.pipeline.versions.name_speaker(waiting, "SPEAKER_0", "Jack")
    return waiting


@pytest.mark.parametrize("wanted", ["srt", "vtt", "json"])
def test_a_file_that_nobody_edited_corrects_nothing(
    run: Run, ready: Recording, services: PipelineServices, tmp_path: Path, wanted: str
) -> None:
    before = services.pipeline.versions.current(ready)
    file = tmp_path / f"talk.{wanted}"
    told(run("transcript", ready.id, "--as", wanted, "--output", file))
    assert "Jack" in file.read_text("utf-8")
    assert "0 change(s)" in told(run("correct", ready.id, file))
    assert services.pipeline.versions.current(ready) == before


def test_a_word_put_right_in_a_caption_is_put_right_in_its_segment(
    run: Run, ready: Recording, tmp_path: Path, services: PipelineServices
) -> None:
    file = tmp_path / "talk.srt"
    file.write_text(told(run("transcript", ready.id)).replace("fellow", "dear"), "utf-8")
    told(run("correct", ready.id, file))
    after = services.pipeline.versions.current(ready)
    assert after.segments == (Segment(SAID.replace("fellow", "dear"), 0.0, 10.0, "SPEAKER_0"),)


def test_captions_have_names_and_are_short_enough_to_read(run: Run, ready: Recording) -> None:
    assert told(run("transcript", ready.id, "--as", "vtt")) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:07.000\n"
        "<v Jack>And so, my fellow Americans,\nask not what your country can do for you.\n\n"
        "00:00:07.000 --> 00:00:10.000\n"
        "<v Jack>Ask what you can do.\n"
    )


def test_what_is_read_has_names_and_times_that_open_the_media(
    run: Run, ready: Recording, services: PipelineServices
) -> None:
    assert told(run("transcript", ready.id, "--as", "txt")) == f"Jack: {SAID}\n"
    page = told(run("transcript", ready.id, "--as", "md"))
    assert page.startswith("# A (good) talk\n\n[00:00:00](file://")
    assert page.endswith(f".flac#t=0.00) **Jack:** {SAID}\n")


def test_every_time_of_a_document_opens_the_media_at_its_second(
    run: Run, ready: Recording, services: PipelineServices
) -> None:
    page = told(run("document", ready.id))
    link = services.files.media.link(ready.id, ready.suffix)
    reader = MarkdownIt()
    reader.validateLink = lambda url: True  # type: ignore[method-assign]  # not of file://
    html = reader.render(page)
    found = re.findall(r'<a href="([^"]*)">(\d\d:\d\d:\d\d)</a>', html)
    assert {target.partition("#")[0] for target, _ in found} == {link}
    assert (f"{link}#t=7.00", "00:00:07") in found
    assert not re.search(r"\[\d\d:\d\d:\d\d\](?!\()", page)


def test_a_file_is_whole_or_as_it_was(run: Run, ready: Recording, tmp_path: Path) -> None:
    file = tmp_path / "talk.txt"
    file.write_text("before")
    told(run("transcript", ready.id, "--as", "txt", "--output", file))
    assert file.read_text() == f"Jack: {SAID}\n"
    missing = run("transcript", ready.id, "--output", tmp_path / "nowhere" / "talk.srt")
    assert missing.exit_code == 1
    assert "No such file" in missing.output
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_clip_is_named_for_its_seconds(run: Run, ready: Recording, tmp_path: Path) -> None:
    name = told(run("clip", ready.id, "--from", "2.5", "--to", "4")).strip()
    assert name == f"{ready.id}-2.5-4.opus"
    assert probe(tmp_path / name).duration_seconds == pytest.approx(1.5, abs=0.05)
    told(run("clip", ready.id, "--around", "1", "--output", tmp_path / "clip.FLAC"))
    assert probe(tmp_path / "clip.FLAC").duration_seconds == 10


@pytest.mark.parametrize(
    "asked",
    [
        [],
        ["--from", "1"],
        ["--from", "1", "--to", "2", "--around", "3"],
        ["--from", "1", "--to", "2", "--output", "clip.exe"],
        ["--from", "soon", "--to", "2"],
    ],
)
def test_a_clip_that_is_asked_for_wrongly_is_no_clip(
    run: Run, ready: Recording, asked: list[str]
) -> None:
    assert run("clip", ready.id, *asked).exit_code == 2


def test_seconds_outside_the_recording_are_told_with_its_length(
    run: Run, ready: Recording, tmp_path: Path
) -> None:
    result = run("clip", ready.id, "--from", "9", "--to", "12")
    assert isinstance(result.exception, TimeOutOfRange)
    assert "of 10.00 seconds" in str(result.exception)
    assert not [*tmp_path.glob("*.opus")]


COMMANDS = [["transcript"], ["document"], ["clip", "--around", "1"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_not_made_yet_is_told_with_what_makes_it(
    run: Run, waiting: Recording, command: list[str]
) -> None:
    error = run(*command, waiting.id).exception
    assert isinstance(error, (StageNotReady, NothingToCorrect))
    assert error.remedy == f"playhead process {waiting.id}"


@pytest.mark.parametrize("command", COMMANDS)
def test_another_organisations_recording_is_no_recording(
    run: Run, ready: Recording, command: list[str]
) -> None:
    run("orgs", "add", "other")
    for identity, org in (
        (ready.id, "other"),
        (factories.make_recording().id, "default"),
        ("x", "default"),
    ):
        error = run(*command, identity, "--org", org).exception
        assert isinstance(error, NotFound)
        assert str(error) == f"No such recording: {identity}."
