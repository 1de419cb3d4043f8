"""Commands that write a file: transcript, document, clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from playhead.cli.options import org_option, require_recording
from playhead.cli.search import parse_time
from playhead.core.errors import StageNotReady
from playhead.core.records import Recording, Stage
from playhead.core.settings import load_settings
from playhead.exports.clips import CONTEXT_SECONDS, SUFFIXES, ClipRange, write_clip
from playhead.exports.document import add_links
from playhead.exports.files import write_text
from playhead.exports.transcripts import FORMATS, ExportFormat, Heading, export_transcript
from playhead.services.context import Services, open_services

_OUTPUT = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
output_option = click.option(
    "--output", type=_OUTPUT, default="-", show_default="standard output", help="File to write."
)


def _known_suffix(
    _context: click.Context, _parameter: click.Parameter, output: Path | None
) -> Path | None:
    if output is None or output.suffix.lower() in SUFFIXES:
        return output
    raise click.BadParameter(f"the file's suffix must be one of {', '.join(SUFFIXES)}")


@click.command()
@click.argument("recording")
@click.option("--as", "export_format", type=click.Choice(FORMATS), default="srt", show_default=True)
@output_option
@org_option
def transcript(recording: str, export_format: ExportFormat, output: Path, org: str | None) -> None:
    """Export the transcript of RECORDING.

    Formats: captions (srt, vtt), complete (json), or for reading (txt, md). Files of the first
    three can be edited and passed to `playhead correct`.
    """
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        heading = Heading(known.title, services.files.media.link(known.id, known.suffix))
        names = services.pipeline.versions.speaker_names(known)
        current = services.pipeline.versions.current(known)
        text = export_transcript(current, names, export_format, heading)
    with _report_written(output):
        write_text(text, output)


@click.command()
@click.argument("recording")
@output_option
@org_option
def document(recording: str, output: Path, org: str | None) -> None:
    """Export the document of RECORDING as Markdown. Its times link to the media."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        found = services.pipeline.content.document(known, _read_stage(services, known, "document"))
        text = add_links(found, services.files.media.link(known.id, known.suffix))
    with _report_written(output):
        write_text(text, output)


@click.command()
@click.argument("recording")
@click.option("--from", "begin", type=parse_time, metavar="TIME", help="Start of the clip.")
@click.option("--to", "end", type=parse_time, metavar="TIME", help="End of the clip.")
@click.option(
    "--around",
    type=parse_time,
    metavar="TIME",
    help=f"Instead of both: {CONTEXT_SECONDS:g} seconds before and after.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_known_suffix,
    help=f"File to write: {', '.join(SUFFIXES)}. [default: RECORDING-FROM-TO.opus]",
)
@org_option
def clip(
    recording: str,
    begin: float | None,
    end: float | None,
    around: float | None,
    output: Path | None,
    org: str | None,
) -> None:
    """Export a part of RECORDING's audio, also of a video's."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        facts = services.pipeline.content.media_facts(
            known, _read_stage(services, known, "raw_media")
        )
        clip_range = _clip_range(facts.duration_seconds, begin, end, around)
        name = f"{known.id}-{clip_range.start:g}-{clip_range.end:g}.opus"
        path = output or Path(name)
        with services.files.media.open_local(known) as media, _report_written(path):
            write_clip(media, facts, clip_range, path)
    click.echo(path)


def _clip_range(
    duration: float, begin: float | None, end: float | None, around: float | None
) -> ClipRange:
    if around is None and begin is not None and end is not None:
        return ClipRange.between(duration, begin, end)
    if around is not None and begin is None and end is None:
        return ClipRange.around(duration, around)
    raise click.UsageError("Use either --from and --to, or --around.")


def _read_stage(services: Services, known: Recording, stage: Stage) -> int:
    """Return the id of the stage's current result. Raises ``StageNotReady``."""
    if result := services.pipeline.results.current_results([known])[known.id].get((stage, 0)):
        return result.id
    raise StageNotReady(
        f"{known.title} has no {stage.replace('_', ' ')} yet.",
        remedy=f"playhead process {known.partition_key}",
    )


@contextmanager
def _report_written(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.FileError(str(output), error.strerror) from error
