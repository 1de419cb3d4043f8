"""Commands for retention: archive, unarchive, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import click

from playhead.cli.exec_pipeline import exec_pipeline_command
from playhead.cli.options import json_option, org_option, print_json, recording_ids
from playhead.core.errors import PlayheadError
from playhead.core.settings import load_settings
from playhead.services.context import open_services


@click.command()
@click.argument("recordings", nargs=-1)
@click.option(
    "--before", type=click.DateTime(), metavar="DATE", help="All that were added before it."
)
@org_option
@json_option
def archive(
    recordings: tuple[str, ...], before: datetime | None, org: str | None, as_json: bool
) -> None:
    """Take old RECORDINGS out of Dagster's partitions. They are worked on no longer; every row,
    the search and the lineage stay."""
    if bool(recordings) == bool(before):
        raise click.UsageError("Give either recordings or --before DATE.")
    with open_services(load_settings()) as services:
        org_id, store = services.require_organisation(org), services.pipeline.recordings
        if before:
            changed = store.archive_before(org_id, before.astimezone())
        else:
            changed = store.archive(org_id, recording_ids(services, org, recordings))
    _report_changes(changed, archived=True, as_json=as_json)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@org_option
@json_option
def unarchive(recordings: tuple[str, ...], org: str | None, as_json: bool) -> None:
    """Put archived RECORDINGS back among Dagster's partitions."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        ids = recording_ids(services, org, recordings)
        changed = services.pipeline.recordings.unarchive(org_id, ids)
    _report_changes(changed, archived=False, as_json=as_json)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
def forget(recordings: tuple[str, ...], yes: bool, org: str | None, as_json: bool) -> None:
    """Remove every trace of RECORDINGS: rows, vectors, files, events, logs; then look for them
    everywhere. This cannot be undone."""
    with open_services(load_settings()) as services:
        gone = services.deletion.deleted(recordings)
        there = [recording for recording in recordings if recording not in gone]
        known = (
            services.pipeline.recordings.statuses(
                services.require_organisation(org), recording_ids(services, org, there)
            )
            if there
            else []
        )
    if known and not yes:
        for status in known:
            click.echo(f"{status.id}  {status.title}", err=True)
        if not click.confirm("Forget these and everything made of them, for ever?", err=True):
            raise NotConfirmed("Nothing was forgotten.", remedy="--yes says it beforehand.")
    ids = [*(status.id for status in known), *gone]
    exec_pipeline_command("delete", *(["--json"] if as_json else []), "--", *ids)


def _report_changes(changed: Mapping[str, str], *, archived: bool, as_json: bool) -> None:
    """Say what changed, and have Dagster's partitions follow."""
    for identity, title in changed.items():
        if as_json:
            print_json({"recording": identity, "title": title, "archived": archived})
        else:
            click.echo(f"{identity}  {title}  {'archived' if archived else 'back'}")
    exec_pipeline_command("sync_partitions")


class NotConfirmed(PlayheadError):
    """The user declined the confirmation."""
