"""Commands that start processing: add, process, retry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from playhead.cli.exec_pipeline import exec_pipeline_command
from playhead.cli.options import json_option, org_option, print_json, recording_ids
from playhead.core.errors import PlayheadError
from playhead.core.records import KINDS, SPEAKERS, STAGES, Kind, Recording, SpeakerSource, Stage
from playhead.core.settings import load_settings
from playhead.engines.registry import build_engines
from playhead.postgres.pipeline.recordings import Status
from playhead.services.context import Services, open_services


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--title", help="What to call it. [default: the file's name]")
@click.option("--kind", type=click.Choice(KINDS), default="recording", show_default=True)
@click.option("--language", help="ISO 639-1 code. [default: detected]")
@click.option(
    "--speakers",
    type=click.Choice(SPEAKERS),
    default="none",
    show_default=True,
    help="What tells speakers apart: each audio track, or each channel, is one.",
)
@org_option
@json_option
def add(
    files: tuple[Path, ...],
    title: str | None,
    kind: Kind,
    language: str | None,
    speakers: SpeakerSource,
    org: str | None,
    as_json: bool,
) -> None:
    """Take files in. The same bytes twice are one recording."""
    failed = False
    with open_services(load_settings()) as services:
        for file in files:
            try:
                arrival = services.ingest.add(
                    file,
                    org_id=org or services.settings.org,
                    title=title,
                    kind=kind,
                    language=language,
                    speakers=speakers,
                )
            except OSError as error:
                click.echo(f"{click.format_filename(file)} was not added: {error}", err=True)
                failed = True
                continue
            recording = arrival.recording
            if as_json:
                print_json(
                    {
                        "recording": recording.id,
                        "duplicate": arrival.duplicate,
                        "title": recording.title,
                    }
                )
            else:
                already = "  (already here)" if arrival.duplicate else ""
                click.echo(f"{recording.id}  {recording.title}{already}")
    if failed:
        sys.exit(1)


@click.command()
@click.argument("recordings", nargs=-1)
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
def process(recordings: tuple[str, ...], watch: bool) -> None:
    """Run what is waiting through Dagster; all of it, or RECORDINGS.

    Exits with 0 when all that was run is ready, 1 when some failed."""
    ids: list[str] = []
    if recordings:
        with open_services(load_settings()) as services:
            ids = recording_ids(services, None, recordings)
    exec_pipeline_command("process", *(["--watch"] if watch else []), "--", *ids)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--engine", help="Another transcriber or writer for the stage they stopped at.")
@org_option
def retry(recordings: tuple[str, ...], engine: str | None, org: str | None) -> None:
    """Take failed or parked RECORDINGS up again from the stage they stopped at, nothing earlier."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        ids = recording_ids(services, org, recordings)
        statuses = services.pipeline.recordings.statuses(org_id, ids)
        if engine is not None:
            _choose(services, org_id, statuses, engine)
        replayed = dict(services.pipeline.recordings.requeue(org_id, ids))
    for recording in ids:
        if recording in replayed:
            click.echo(f"{recording} waits again, from {replayed[recording]} on: playhead process")
        else:
            click.echo(f"{recording} has not failed and is not parked.")
    if not replayed:
        raise NothingToRetry(
            "None of these recordings has failed or is parked.",
            remedy="`playhead list` shows how they are.",
        )


class NothingToRetry(PlayheadError):
    """No given recording had failed or was parked."""


def _choose(services: Services, org_id: str, statuses: Sequence[Status], engine: str) -> None:
    """Set the engine for the stage at which each recording stopped.

    Raises ``ModelUnavailable`` for an unknown name; then nothing is changed.
    """
    engines = build_engines(services.settings)
    stopped = {status.id: status for status in statuses if status.status in ("failed", "parked")}
    recordings = [services.pipeline.recordings.get(org_id, identity) for identity in stopped]
    stages = [_stopped_at(services, recording, stopped[recording.id]) for recording in recordings]
    for recording, stage in zip(recordings, stages, strict=True):
        if stage == "transcript":
            engines.transcriber_for(replace(recording, transcriber=engine).engine_selection)
        elif stage == "document":
            engines.writer_for(replace(recording, writer=engine).engine_selection)
        else:
            raise click.UsageError(
                f"{recording.id} stopped at {stage}, which has no engine to choose."
            )
    for recording, stage in zip(recordings, stages, strict=True):
        services.pipeline.recordings.select_engine(recording, stage, engine)


def _stopped_at(services: Services, recording: Recording, status: Status) -> Stage:
    if status.error:
        return cast("Stage", status.error["stage"])
    return STAGES[services.pipeline.recordings.stages_done(recording)]
