"""Exported files: transcripts, documents and clips."""

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
TEXT = "And so, my fellow Americans, ask not what your country can do for you. Ask what you can do."


@pytest.fixture
def run(services: PipelineServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command."""
    monkeypatch.chdir(tmp_path)  # a folder without .env
    monkeypatch.setenv("DATABASE_URL", str(services.settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(services.settings.home))

    def run(*arguments: str | Path) -> click.testing.Result:
        return click.testing.CliRunner().invoke(playhead, list(map(str, arguments)))

    return run


def output_of(result: click.testing.Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def added(services: PipelineServices) -> Recording:
    """Return a recording that was only added."""
    return services.ingest.add(JFK, org_id="default", title="A (good) talk").recording


@pytest.fixture
def ready(services: PipelineServices, added: Recording) -> Recording:
    """Return a recording with a transcript, a document and a named speaker."""
    words = [Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(TEXT.split())]
    segment = Segment(TEXT, 0.0, 10.0, "SPEAKER_0")
    transcript = Transcript(TEXT, "en", 10.0, tuple(words), (segment,))
    document, _ = ExtractiveWriter().write(transcript, title=added.title, kind="recording")
    database = Database(str(services.settings.database_url))
    worker = PipelineDriver(database)
    worker.probe(added)
    worker.transcribe(added, transcript)
    worker.write(added, written=document)
    worker.results.close()
    database.close()
    services.pipeline.versions.name_speaker(added, "SPEAKER_0", "Jack")
    return added


@pytest.mark.parametrize("export_format", ["srt", "vtt", "json"])
def test_unedited_export_corrects_nothing(
    run: Run, ready: Recording, services: PipelineServices, tmp_path: Path, export_format: str
) -> None:
    before = services.pipeline.versions.current(ready)
    file = tmp_path / f"talk.{export_format}"
    output_of(run("transcript", ready.id, "--as", export_format, "--output", file))
    assert "Jack" in file.read_text("utf-8")
    assert "0 change(s)" in output_of(run("correct", ready.id, file))
    assert services.pipeline.versions.current(ready) == before


def test_corrected_caption_changes_its_segment(
    run: Run, ready: Recording, tmp_path: Path, services: PipelineServices
) -> None:
    file = tmp_path / "talk.srt"
    file.write_text(output_of(run("transcript", ready.id)).replace("fellow", "dear"), "utf-8")
    output_of(run("correct", ready.id, file))
    after = services.pipeline.versions.current(ready)
    assert after.segments == (Segment(TEXT.replace("fellow", "dear"), 0.0, 10.0, "SPEAKER_0"),)


def test_captions_have_names_and_are_short(run: Run, ready: Recording) -> None:
    assert output_of(run("transcript", ready.id, "--as", "vtt")) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:07.000\n"
        "<v Jack>And so, my fellow Americans,\nask not what your country can do for you.\n\n"
        "00:00:07.000 --> 00:00:10.000\n"
        "<v Jack>Ask what you can do.\n"
    )


def test_text_exports_have_names_and_links_to_the_media(
    run: Run, ready: Recording, services: PipelineServices
) -> None:
    assert output_of(run("transcript", ready.id, "--as", "txt")) == f"Jack: {TEXT}\n"
    page = output_of(run("transcript", ready.id, "--as", "md"))
    assert page.startswith("# A (good) talk\n\n[00:00:00](file://")
    assert page.endswith(f".flac#t=0.00) **Jack:** {TEXT}\n")


def test_document_times_link_to_the_media(
    run: Run, ready: Recording, services: PipelineServices
) -> None:
    page = output_of(run("document", ready.id))
    link = services.files.media.link(ready.id, ready.suffix)
    reader = MarkdownIt()
    reader.validateLink = lambda url: True  # type: ignore[method-assign]  # not of file://
    html = reader.render(page)
    links = re.findall(r'<a href="([^"]*)">(\d\d:\d\d:\d\d)</a>', html)
    assert {target.partition("#")[0] for target, _ in links} == {link}
    assert (f"{link}#t=7.00", "00:00:07") in links
    assert not re.search(r"\[\d\d:\d\d:\d\d\](?!\()", page)


def test_output_file_is_written_completely_or_left_unchanged(
    run: Run, ready: Recording, tmp_path: Path
) -> None:
    file = tmp_path / "talk.txt"
    file.write_text("before")
    output_of(run("transcript", ready.id, "--as", "txt", "--output", file))
    assert file.read_text() == f"Jack: {TEXT}\n"
    missing = run("transcript", ready.id, "--output", tmp_path / "nowhere" / "talk.srt")
    assert missing.exit_code == 1
    assert "No such file" in missing.output
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_clip_is_named_by_its_seconds(run: Run, ready: Recording, tmp_path: Path) -> None:
    name = output_of(run("clip", ready.id, "--from", "2.5", "--to", "4")).strip()
    assert name == f"{ready.id}-2.5-4.opus"
    assert probe(tmp_path / name).duration_seconds == pytest.approx(1.5, abs=0.05)
    output_of(run("clip", ready.id, "--around", "1", "--output", tmp_path / "clip.FLAC"))
    assert probe(tmp_path / "clip.FLAC").duration_seconds == 10


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--from", "1"],
        ["--from", "1", "--to", "2", "--around", "3"],
        ["--from", "1", "--to", "2", "--output", "clip.exe"],
        ["--from", "soon", "--to", "2"],
    ],
)
def test_clip_with_invalid_options_is_a_usage_error(
    run: Run, ready: Recording, arguments: list[str]
) -> None:
    assert run("clip", ready.id, *arguments).exit_code == 2


def test_seconds_outside_the_recording_are_reported_with_its_length(
    run: Run, ready: Recording, tmp_path: Path
) -> None:
    result = run("clip", ready.id, "--from", "9", "--to", "12")
    assert isinstance(result.exception, TimeOutOfRange)
    assert "of 10.00 seconds" in str(result.exception)
    assert not [*tmp_path.glob("*.opus")]


COMMANDS = [["transcript"], ["document"], ["clip", "--around", "1"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_result_is_reported_with_the_command_that_creates_it(
    run: Run, added: Recording, command: list[str]
) -> None:
    error = run(*command, added.id).exception
    assert isinstance(error, (StageNotReady, NothingToCorrect))
    assert error.remedy == f"playhead process {added.partition_key}"


@pytest.mark.parametrize("command", COMMANDS)
def test_recording_of_another_organisation_is_not_found(
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
