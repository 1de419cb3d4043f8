"""``python -m pipeline_assets.commands.sync_partitions``: sync Dagster's partitions.

Makes them follow the archive now instead of in the nightly reconcile job. Started by ``playhead
archive`` and ``playhead unarchive``. This is an entry point; no module imports it.
"""

from __future__ import annotations

import click

from pipeline_assets.commands.entry_point import run
from pipeline_assets.maintenance.partition_sync import sync_partitions
from playhead.core.settings import load_settings
from playhead.services.context import open_services
from resources.dagster_storage import open_instance


def main() -> None:
    with open_services(load_settings()) as services, open_instance() as instance:
        added, removed = sync_partitions(
            instance, set(services.pipeline.recordings.unarchived_keys())
        )
    click.echo(f"Removed {removed} partitions, added {added}.", err=True)


if __name__ == "__main__":
    run(main)
