"""Commands that correct transcripts: correct, versions, speakers.

A correction is a new version; document, chunks and vectors are rebuilt as far as it changed them.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

import click

from playhead.cli.options import json_option, org_option, require_recording
from playhead.cli.output import emit, print_json
from playhead.core.records import Recording, Transcript
from playhead.core.settings import load_settings
from playhead.core.timecode import format_timecode
from playhead.postgres.pipeline.transcript_versions import Version
from playhead.services.context import Services, open_services
from playhead.transcripts.caption_files import decode_text, detect_format, read_captions
from playhead.transcripts.correction import correct_all, correct_segment
from playhead.transcripts.diff import Change
from playhead.transcripts.diff import compare as compare_transcripts
from playhead.transcripts.speaker_names import with_labels, with_names

author_option = click.option(
    "--author",
    default=getpass.getuser,
    show_default="your user name",
    help="Author recorded with the change.",
)


@click.command()
@click.argument("recording")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--segment", type=click.IntRange(min=1), help="Number of the segment to correct, from 1."
)
@click.option("--text", help="Its correct text.")
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
    """Correct RECORDING: one segment, or all of it with an edited FILE (SRT, WebVTT, JSON).

    Unchanged words keep their times.
    """
    if (file is None) == (segment is None or text is None):
        raise click.UsageError("Give an edited FILE, or --segment and --text.")
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        before = services.pipeline.versions.current(known)
        names = services.pipeline.versions.speaker_names(known)
        after = _apply_edit(before, names, file, segment, text)
        version = services.pipeline.versions.correct(known, after, author)
    changes = compare_transcripts(before, after)
    if as_json:
        print_json({"version": version, "changes": changes})
    else:
        click.echo(
            f"Version {version.number} by {author}, {len(changes)} change(s). "
            "To rebuild the document and search: playhead process"
        )


@click.command()
@click.argument("recording")
@click.option(
    "--compare", nargs=2, type=int, metavar="OLD NEW", help="Show the changes between two versions."
)
@click.option("--restore", type=int, metavar="VERSION", help="Make this version current again.")
@click.option(
    "--release", is_flag=True, help="Unpin: let new pipeline results replace this version."
)
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
        emit(
            services.pipeline.versions.all(known),
            as_json=as_json,
            text=_line,
            empty="No transcript yet: playhead process",
        )


@click.command()
@click.argument("recording")
@click.option("--name", nargs=2, metavar="LABEL NAME", help="Set the name of the speaker LABEL.")
@org_option
@json_option
def speakers(recording: str, name: tuple[str, str] | None, org: str | None, as_json: bool) -> None:
    """List the speakers of RECORDING. Naming a speaker rebuilds nothing."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        if name:
            services.pipeline.versions.name_speaker(known, *name)
        labels, names = (
            services.pipeline.versions.labels(known),
            services.pipeline.versions.speaker_names(known),
        )
    emit(
        labels,
        as_json=as_json,
        text=lambda label: f"{label}  {names.get(label, '')}".rstrip(),
        json=lambda label: {"label": label, "name": names.get(label)},
        empty="This recording has no speaker labels.",
    )


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
    emit(
        compare_transcripts(before, after),
        as_json=as_json,
        text=_format_change,
        empty="The versions do not differ.",
    )


def _format_change(change: Change) -> str:
    return f"{format_timecode(change.seconds)}  - {change.before}\n          + {change.after}"


def _line(version: Version) -> str:
    mark = "*" if version.current else " "
    chosen = f", pinned by {version.pinned_by}" if version.pinned_by else ""
    return (
        f"{mark} {version.number:3d}  {version.finished_at:%Y-%m-%d %H:%M}  "
        f"{version.engine} {version.model}{chosen}"
    )
