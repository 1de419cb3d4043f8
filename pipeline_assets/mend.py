"""``python -m pipeline_assets.mend``: have Dagster's partitions follow the archive now, rather than
at night. Started by ``playhead archive`` and ``unarchive``; a way in, so nobody imports it."""

from __future__ import annotations

import sys

import click

from pipeline_assets.process import open_instance
from pipeline_assets.reconcile import mend_partitions
from resources.errors import PlayheadError
from resources.settings import load_settings
from resources.workbench import open_rooms


def main() -> None:
    with open_rooms(load_settings()) as rooms, open_instance() as instance:
        added, removed = mend_partitions(instance, set(rooms.catalogue.unarchived()))
    click.echo(f"{removed} partitions removed, {added} added.", err=True)


if __name__ == "__main__":
    try:
        main()
    except PlayheadError as error:
        click.echo(f"{error}\n{error.remedy}", err=True)
        sys.exit(1)
