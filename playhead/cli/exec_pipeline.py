"""Commands of the pipeline.

This process replaces itself, so that signals reach the pipeline, and Dagster is loaded in a process
of its own; ``playhead`` never imports it.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from playhead.cli.options import json_option
from playhead.cli.output import print_renamed
from playhead.core.json_lines import json_line
from playhead.core.records import KINDS, STAGES
from playhead.core.settings import load_settings

_QUIET = ("-W", "ignore:Parameter `owners`")  # Dagster warns of its own sensors


def exec_pipeline_command(module: str, *arguments: str) -> NoReturn:
    """Continue as ``python -m pipeline_assets.commands.<module>``."""
    load_settings()  # reports invalid settings before Dagster is loaded
    sys.stdout.flush()
    program = [sys.executable, *_QUIET, "-m", f"pipeline_assets.commands.{module}", *arguments]
    os.execv(sys.executable, program)  # noqa: S606


@click.command()
@click.option("--org", help="Only recordings of this organisation. [default: all]")
@click.option("--kind", type=click.Choice(KINDS), help="Only recordings of this kind.")
@click.option("--since", type=click.DateTime(), help="Only recordings added at or after this time.")
@click.option("--stage", type=click.Choice(STAGES), help="Only this stage and later ones.")
@click.option("--apply", is_flag=True, help="Start the rebuild.")
@click.option(
    "--confirm-usd", type=click.FloatRange(min=0), help="Confirm this cost in US dollars."
)
@click.option(
    "--batch", is_flag=True, help="Use the provider's Batch API: half the price, up to a day."
)
@click.option("--patient", is_flag=True, hidden=True)
@click.option("--list", "listed", is_flag=True, help="List all plans.")
@click.option("--cancel", type=int, metavar="PLAN", help="Cancel this plan; finished results stay.")
@json_option
def plan(*, patient: bool, **options: object) -> None:
    """List missing, stale, outdated, failed and orphaned results, and the cost to rebuild them."""
    if patient:
        print_renamed("plan --patient", "plan --batch")
        options["batch"] = True
    exec_pipeline_command("plan", json_line(options))
