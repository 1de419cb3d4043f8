"""Commands that correct transcripts: correct, versions, speakers.

A correction is a new version; document, chunks and vectors are rebuilt as far as it changed them.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

import click

from playhead.cli.options import json_option, org_option, print_json, require_recording
from playhead.core.records import Recording, Transcript
from playhead.core.settings import load_settings
from playhead.core.timecode import format_timecode
from playhead.postgres.pipeline.transcript_versions import Version
from playhead.services.context import Services, open_services
from playhead.transcripts.caption_files import decode_text, detect_format, read_captions
from playhead.transcripts.correction import correct_all, correct_segment
from playhead.transcripts.diff import compare as compared
from playhead.transcripts.speaker_names import with_labels, with_names

author_option = click.option(
    "--author", default=getpass.getuser, show_default="your user name", help="Who says so."
)


@click.command()
@click.argument("recording")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--segment", type=click.IntRange(min=1), help="The segment to correct, from 1.")
@click.option("--text", help="What was said there.")
@author_option
@org_option
@json_option
def correct(
    recording: str,
    file: Path | None,
    segment: int | None,
    text: str | None,
    author: str,
    org: str | None,
    as_json: bool,
) -> None:
    """Correct RECORDING: one segment, or all of it by an edited FILE (SRT, WebVTT, JSON).

    Words that you leave alone keep their times."""
    if (file is None) == (segment is None or text is None):
        raise click.UsageError("Give an edited FILE, or --segment and --text.")
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        before = services.pipeline.versions.current(known)
        names = services.pipeline.versions.speaker_names(known)
        after = _apply_edit(before, names, file, segment, text)
        version = services.pipeline.versions.correct(known, after, author)
    changes = compared(before, after)
    if as_json:
        print_json({"version": version, "changes": changes})
    else:
        click.echo(
            f"Version {version.number} by {author}, {len(changes)} change(s). "
            "What follows from it is made next: playhead process"
        )


@click.command()
@click.argument("recording")
@click.option("--compare", nargs=2, type=int, metavar="OLD NEW", help="What changed between two.")
@click.option("--restore", type=int, metavar="VERSION", help="Put a version in place again.")
@click.option("--release", is_flag=True, help="Let the pipeline choose again.")
@author_option
@org_option
@json_option
def versions(
    recording: str,
    compare: tuple[int, int] | None,
    restore: int | None,
    release: bool,
    author: str,
    org: str | None,
    as_json: bool,
) -> None:
    """List the transcripts of RECORDING and the author of each."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        if compare:
            _print_changes(services, known, *compare, as_json=as_json)
            return
        if restore is not None:
            services.pipeline.versions.restore(known, restore, author)
        if release:
            services.pipeline.versions.unpin(known)
        for version in services.pipeline.versions.all(known):
            print_json(version) if as_json else click.echo(_line(version))


@click.command()
@click.argument("recording")
@click.option("--name", nargs=2, metavar="LABEL NAME", help="Call LABEL by NAME from now on.")
@org_option
@json_option
def speakers(recording: str, name: tuple[str, str] | None, org: str | None, as_json: bool) -> None:
    """List the speakers of RECORDING. Naming one rebuilds nothing."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        if name:
            services.pipeline.versions.name_speaker(known, *name)
        labels, names = (
            services.pipeline.versions.labels(known),
            services.pipeline.versions.speaker_names(known),
        )
    for label in labels:
        if as_json:
            print_json({"label": label, "name": names.get(label)})
        else:
            click.echo(f"{label}  {names.get(label, '')}".rstrip())
    if not labels and not as_json:
        click.echo("No speaker is told apart in this recording.")


def _apply_edit(
    before: Transcript,
    names: Mapping[str, str],
    file: Path | None,
    segment: int | None,
    text: str | None,
) -> Transcript:
    if file is None:
        return correct_segment(before, (segment or 1) - 1, text or "")
    content = decode_text(file.read_bytes())
    segments = read_captions(content, detect_format(file.name, content), with_names(before, names))
    return correct_all(before, with_labels(segments, before, names))


def _print_changes(
    services: Services, known: Recording, old: int, new: int, *, as_json: bool
) -> None:
    before, after = (
        services.pipeline.content.transcript(
            known, services.pipeline.versions.get(known, number).id
        )
        for number in (old, new)
    )
    for change in compared(before, after):
        if as_json:
            print_json(change)
        else:
            click.echo(
                f"{format_timecode(change.seconds)}  - {change.before}\n          + {change.after}"
            )


def _line(version: Version) -> str:
    mark = "*" if version.current else " "
    chosen = f", put in place by {version.pinned_by}" if version.pinned_by else ""
    return (
        f"{mark} {version.number:3d}  {version.finished_at:%Y-%m-%d %H:%M}  "
        f"{version.engine} {version.model}{chosen}"
    )
