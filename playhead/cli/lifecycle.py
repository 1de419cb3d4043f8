"""Commands for retention: archive, unarchive, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from playhead.cli.exec_pipeline import exec_pipeline_command
from playhead.cli.options import json_option, org_option, recording_ids
from playhead.cli.output import emit, print_renamed
from playhead.core.errors import PlayheadError
from playhead.core.settings import load_settings
from playhead.services.context import Services, open_services


@click.command()
@click.argument("recordings", nargs=-1)
@click.option(
    "--before", type=click.DateTime(), metavar="DATE", help="All recordings added before this date."
)
@org_option
@json_option
def archive(
    recordings: tuple[str, ...], before: datetime | None, org: str | None, as_json: bool
) -> None:
    """Remove RECORDINGS from Dagster's partitions.

    They are no longer processed, but stay searchable with all their results.
    """
    if bool(recordings) == bool(before):
        raise click.UsageError("Use either RECORDINGS or --before DATE.")
    with open_services(load_settings()) as services:
        org_id, store = services.require_organisation(org), services.pipeline.recordings
        if before:
            changed = store.archive_before(org_id, before.astimezone())
        else:
            changed = store.archive(org_id, recording_ids(services, org, recordings))
        _print_changes(services, org_id, changed, archived=True, as_json=as_json)
    exec_pipeline_command("sync_partitions")


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@org_option
@json_option
def unarchive(recordings: tuple[str, ...], org: str | None, as_json: bool) -> None:
    """Add archived RECORDINGS to Dagster's partitions again."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        ids = recording_ids(services, org, recordings)
        changed = services.pipeline.recordings.unarchive(org_id, ids)
        _print_changes(services, org_id, changed, archived=False, as_json=as_json)
    exec_pipeline_command("sync_partitions")


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@org_option
@json_option
def delete(recordings: tuple[str, ...], yes: bool, org: str | None, as_json: bool) -> None:
    """Delete RECORDINGS permanently and verify that nothing is left.

    Deletes rows, vectors, files, events and logs.
    """
    with open_services(load_settings()) as services:
        deleted = services.deletion.deleted(recordings)  # deletions that may be unfinished
        existing = [recording for recording in recordings if recording not in deleted]
        statuses = (
            services.pipeline.recordings.statuses(
                services.require_organisation(org), recording_ids(services, org, existing)
            )
            if existing
            else []
        )
    if statuses and not yes:
        for status in statuses:
            click.echo(f"{status.partition_key}  {status.title}", err=True)
        if not click.confirm(
            "Delete these recordings and all their results permanently?", err=True
        ):
            raise NotConfirmed("Nothing was deleted.", remedy="--yes skips the confirmation.")
    ids = [*(status.id for status in statuses), *deleted]
    exec_pipeline_command("delete", *(["--json"] if as_json else []), "--", *ids)


def _delete_by_old_name(**arguments: Any) -> None:
    print_renamed("forget", "delete")
    assert delete.callback is not None
    delete.callback(**arguments)


#: The earlier name of ``delete``.
forget = click.Command(
    "forget", params=delete.params, callback=_delete_by_old_name, help=delete.help, hidden=True
)


def _print_changes(
    services: Services, org_id: str, changed: Mapping[str, str], *, archived: bool, as_json: bool
) -> None:
    statuses = services.pipeline.recordings.statuses(org_id, list(changed))
    word = "archived" if archived else "unarchived"
    emit(
        statuses,
        as_json=as_json,
        text=lambda status: f"{status.partition_key}  {status.title}  {word}",
        json=lambda status: {"recording": status.id, "title": status.title, "archived": archived},
        empty="No recording was changed.",
    )


class NotConfirmed(PlayheadError):
    """The user declined the confirmation."""
