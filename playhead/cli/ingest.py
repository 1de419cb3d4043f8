"""Commands that start processing: add, process, retry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from playhead.cli.exec_pipeline import exec_pipeline_command
from playhead.cli.options import json_option, org_option, recording_ids
from playhead.cli.output import print_json
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
@click.option("--title", help="Title. [default: the file's name]")
@click.option("--kind", type=click.Choice(KINDS), default="recording", show_default=True)
@click.option("--language", help="Spoken language, as ISO 639-1 code. [default: detected]")
@click.option(
    "--speakers",
    type=click.Choice(SPEAKERS),
    default="none",
    show_default=True,
    help="Where each audio track or each channel is one speaker.",
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
    """Add files. Files with the same content are added once."""
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
                click.echo(f"{recording.partition_key}  {recording.title}{already}")
    if failed:
        sys.exit(1)


@click.command()
@click.argument("recordings", nargs=-1)
@click.option(
    "--watch", is_flag=True, help="Keep running and process new recordings until interrupted."
)
def process(recordings: tuple[str, ...], watch: bool) -> None:
    """Process all pending recordings, or only RECORDINGS, with Dagster.

    Exits with 0 if all of them are ready or parked, with 1 if some failed.
    """
    ids: list[str] = []
    if recordings:
        with open_services(load_settings()) as services:
            ids = recording_ids(services, None, recordings)
    exec_pipeline_command("process", *(["--watch"] if watch else []), "--", *ids)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--engine", help="Use another transcriber or writer for the stage that failed.")
@org_option
def retry(recordings: tuple[str, ...], engine: str | None, org: str | None) -> None:
    """Retry failed or parked RECORDINGS from the stage they stopped at."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        ids = recording_ids(services, org, recordings)
        statuses = services.pipeline.recordings.statuses(org_id, ids)
        if engine is not None:
            _choose(services, org_id, statuses, engine)
        requeued = dict(services.pipeline.recordings.requeue(org_id, ids))
    for status in statuses:
        if status.id in requeued:
            stage = requeued[status.id]
            click.echo(f"Requeued {status.partition_key} from {stage} on. Next: playhead process")
        else:
            click.echo(f"{status.partition_key} has not failed and is not parked.")
    if not requeued:
        raise NothingToRetry(
            "None of these recordings has failed or is parked.",
            remedy="`playhead list` shows their status.",
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
                f"{recording.partition_key} stopped at {stage}, which has no engine to choose."
            )
    for recording, stage in zip(recordings, stages, strict=True):
        services.pipeline.recordings.select_engine(recording, stage, engine)


def _stopped_at(services: Services, recording: Recording, status: Status) -> Stage:
    if status.error:
        return cast("Stage", status.error["stage"])
    return STAGES[services.pipeline.recordings.stages_done(recording)]
