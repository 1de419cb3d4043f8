"""``python -m pipeline_assets.commands.delete``: delete recordings and verify that nothing is left.

Started by ``playhead delete``, which asks for confirmation. This is an entry point; no module
imports it.
"""

from __future__ import annotations

import sys
import time

import click

from pipeline_assets.commands.entry_point import run
from pipeline_assets.maintenance.delete_recording import delete, finish_deletion
from playhead.cli.output import print_json
from playhead.core.settings import load_settings
from playhead.postgres.deletion.residue_scan import ScanReport
from playhead.services.context import open_services
from resources.dagster_storage import open_instance

_EXTERNAL_SERVER = (
    "The rows are deleted. Playhead does not manage this server: its free pages, its write-ahead "
    "log (WAL) and its backups may hold copies until they are reused or expire."
)


@click.command()
@click.argument("recordings", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True)
def main(recordings: tuple[str, ...], as_json: bool) -> None:
    """Delete recordings and verify the deletion.

    Exits with 0 if nothing of them was found afterwards, otherwise with 1.
    """
    settings, started = load_settings(), time.monotonic()
    with open_services(settings) as services, open_instance() as instance:
        unfinished = services.deletion.deleted(recordings)
        new = [recording for recording in recordings if recording not in unfinished]
        reports = [delete(services, instance, new)] if new else []
        reports += [finish_deletion(services, instance, unfinished)] if unfinished else []
    for report in reports:
        _print_report(report, time.monotonic() - started, as_json)
    if settings.database_url is not None and not as_json:
        click.echo(_EXTERNAL_SERVER)
    if any(report.found for report in reports):
        sys.exit(1)


def _print_report(report: ScanReport, seconds: float, as_json: bool) -> None:
    if as_json:
        print_json({"look": report, "seconds": round(seconds, 1)})
        return
    click.echo(
        f"Scanned {report.columns} columns of both databases and {report.files} files "
        f"({report.file_bytes / 1e6:,.0f} MB), {seconds:.1f} s in total."
    )
    for place in report.found:
        click.echo(f"Still found in {place}.", err=True)
    click.echo(
        "Traces are left. Run the command again; a worker may have written them meanwhile."
        if report.found
        else "Nothing is left except the opaque id."
    )


if __name__ == "__main__":
    run(main)
