"""Commands that show recordings: list, status, show."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from playhead.cli.options import json_option, org_option, require_recording
from playhead.cli.output import Column, emit, print_json
from playhead.core.records import Transcript
from playhead.core.settings import load_settings
from playhead.core.timecode import format_timecode
from playhead.postgres.pipeline.recordings import Status
from playhead.services.context import Services, open_services

_FOLLOW_SECONDS = 0.5


@click.command("list")
@click.option("--archived", is_flag=True, help="Also list archived recordings.")
@org_option
@json_option
def list_recordings(archived: bool, org: str | None, as_json: bool) -> None:
    """List all recordings with their status."""
    with open_services(load_settings()) as services:
        statuses = services.pipeline.recordings.statuses(
            services.require_organisation(org), archived=archived
        )
    emit(
        statuses,
        as_json=as_json,
        columns=_COLUMNS,
        json=_status_line,
        empty="No recordings yet: playhead add FILE",
    )


@click.command()
@click.argument("recording")
@click.option("--follow", is_flag=True, help="Keep printing until it is ready or failed.")
@org_option
@json_option
def status(recording: str, follow: bool, org: str | None, as_json: bool) -> None:
    """Show the status of one RECORDING."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        current = _read_status(services, org_id, require_recording(services, org, recording).id)
        if not follow:
            _print_status(current, as_json)
        elif as_json:
            _follow_lines(services, org_id, current)
        else:
            _follow_bar(services, org_id, current)


@click.command()
@click.argument("recording")
@org_option
@json_option
def show(recording: str, org: str | None, as_json: bool) -> None:
    """Show everything about one RECORDING: transcript, document, chunks, lineage."""
    with open_services(load_settings()) as services:
        known = require_recording(services, org, recording)
        everything = _collect_details(services, known.org_id, known.id)
    if as_json:
        print_json(everything)
    else:
        _print_details(everything)


def _read_status(services: Services, org_id: str, recording: str) -> Status:
    return services.pipeline.recordings.statuses(org_id, [recording])[0]


def _status_line(status: Status) -> dict[str, Any]:
    line = asdict(status)
    del line["live"]
    return line


def _reason(status: Status) -> str:
    reason = f"{status.detail}: {status.error['message']}" if status.error else status.detail
    return f"{reason}, archived" if status.archived else reason


def _length(status: Status) -> str:
    seconds = status.duration_seconds
    return "" if seconds is None else format_timecode(seconds)


_COLUMNS = (
    Column[Status]("key", lambda status: status.partition_key, no_wrap=True),
    Column[Status]("title", lambda status: status.title[:60]),
    Column[Status]("kind", lambda status: status.kind),
    Column[Status]("status", lambda status: status.status),
    Column[Status]("%", lambda status: status.percent),
    Column[Status]("length", _length),
    Column[Status]("lang", lambda status: status.language or ""),
    Column[Status]("detail", _reason),
)


def _is_finished(status: Status) -> bool:
    return status.status in {"ready", "failed"} or status.archived


def _print_status(current: Status, as_json: bool) -> None:
    if as_json:
        print_json(_status_line(current))
        return
    click.echo(f"{current.title}: {current.status}, {current.percent} %, {_reason(current)}")
    if current.error:
        click.echo(current.error["remedy"])


def _follow_lines(services: Services, org_id: str, current: Status) -> None:
    print_json(_status_line(current))
    while not _is_finished(current):
        time.sleep(_FOLLOW_SECONDS)
        before, current = current, _read_status(services, org_id, current.id)
        if current != before:
            print_json(_status_line(current))


def _follow_bar(services: Services, org_id: str, current: Status) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TextColumn("{task.fields[detail]}")) as bar:
        task = bar.add_task(current.title[:40], total=100, detail="")
        while True:
            bar.update(
                task, completed=current.percent, detail=f"{current.status}: {_reason(current)}"
            )
            if _is_finished(current):
                return
            time.sleep(_FOLLOW_SECONDS)
            current = _read_status(services, org_id, current.id)


def _collect_details(services: Services, org_id: str, recording: str) -> dict[str, Any]:
    current = _read_status(services, org_id, recording)
    known = services.pipeline.recordings.get(org_id, recording)
    lineage = services.pipeline.results.lineage(known)
    results = {row["stage"]: row for row in lineage}
    content = services.pipeline.content
    return {
        "recording": _status_line(current) | {"sha256": known.sha256, "org": known.org_id},
        "raw_media": content.media_facts(known, results["raw_media"]["result_id"])
        if "raw_media" in results
        else None,
        "transcript": content.transcript(known, results["transcript"]["result_id"])
        if "transcript" in results
        else None,
        "document": content.document(known, results["document"]["result_id"])
        if "document" in results
        else None,
        "chunks": content.chunks(known, results["chunks"]["recipe_hash"])
        if "chunks" in results
        else [],
        "lineage": lineage,
    }


def _times(transcript: Transcript) -> str:
    if transcript.error_seconds is None:
        return f"times: {transcript.timing}"
    return f"times: {transcript.timing}, maximum error {transcript.error_seconds:.1f} s"


def _print_details(everything: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    recording, transcript = everything["recording"], everything["transcript"]
    heading = f"{recording['title']}  {recording['partition_key']}"
    console.print(heading, style="bold", markup=False)
    console.print(
        f"{recording['kind']}, {recording['status']}, {recording['percent']} %, "
        f"{recording['detail']}\nsha256 {recording['sha256']}",
        markup=False,
    )
    if recording["error"]:
        console.print(recording["error"]["message"], recording["error"]["remedy"], markup=False)
    if everything["document"]:
        console.print(Markdown(everything["document"].content))
    if transcript:
        console.print("\nTranscript", style="bold")
        console.print(f"  {_times(transcript)}", markup=False)
        for dropped in transcript.dropped:
            console.print(
                f"  {format_timecode(dropped.start)}  [{dropped.reason}] {dropped.text}",
                markup=False,
            )
        for segment in transcript.segments:
            console.print(f"  {format_timecode(segment.start)}  {segment.text}", markup=False)
    console.print(f"\n{len(everything['chunks'])} chunks", style="bold")
    console.print("\nLineage", style="bold")
    for row in everything["lineage"]:
        console.print(
            f"  {row['stage']:<11} result {row['result_id']}, attempt {row['attempt']}, "
            f"run {row['run_id']}\n              {row['recipe']['engine']} {row['recipe']['model']}"
            f"  from {row['inputs']}",
            markup=False,
        )
