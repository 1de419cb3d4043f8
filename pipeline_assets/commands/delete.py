"""``python -m pipeline_assets.commands.delete``: delete recordings and verify that nothing is left.

Started by ``playhead forget``, which asks for confirmation. This is an entry point; no module
imports it.
"""

from __future__ import annotations

import sys
import time

import click

from pipeline_assets.maintenance.delete_recording import delete, finish_deletion
from playhead.core.errors import PlayheadError
from playhead.core.json_lines import json_line
from playhead.core.settings import load_settings
from playhead.postgres.deletion.residue_scan import ScanReport
from playhead.services.context import open_services
from resources.dagster_storage import open_instance

_NOT_OURS = (
    "The rows are gone. The server is not ours: what its free pages, its log of changes (WAL) and "
    "its backups hold goes as they are reused or expire there."
)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True)
def main(recordings: tuple[str, ...], as_json: bool) -> None:
    """Delete recordings and verify the deletion.

    Exits with 0 if nothing of them was found afterwards, otherwise with 1.
    """
    settings, began = load_settings(), time.monotonic()
    with open_services(settings) as services, open_instance() as instance:
        before = services.deletion.deleted(recordings)  # deletions that did not finish
        new = [recording for recording in recordings if recording not in before]
        looks = [delete(services, instance, new)] if new else []
        looks += [finish_deletion(services, instance, before)] if before else []
    for look in looks:
        _report(look, time.monotonic() - began, as_json)
    if settings.database_url is not None and not as_json:
        click.echo(_NOT_OURS)
    if any(look.found for look in looks):
        sys.exit(1)


def _report(look: ScanReport, seconds: float, as_json: bool) -> None:
    if as_json:
        click.echo(json_line({"look": look, "seconds": round(seconds, 1)}))
        return
    click.echo(
        f"Looked into {look.columns} columns of both databases and {look.files} files "
        f"({look.file_bytes / 1e6:,.0f} MB), {seconds:.1f} s in all."
    )
    for place in look.found:
        click.echo(f"Still found in {place}.", err=True)
    click.echo(
        "Something is left; give the command again, for what a worker wrote meanwhile."
        if look.found
        else "Nothing of it is left but its opaque id."
    )


if __name__ == "__main__":
    try:
        main()
    except PlayheadError as error:
        click.echo(f"{error}\n{error.remedy}", err=True)
        sys.exit(1)
