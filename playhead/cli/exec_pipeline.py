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
from playhead.core.json_lines import json_line
from playhead.core.records import KINDS, STAGES
from playhead.core.settings import load_settings

_QUIET = ("-W", "ignore:Parameter `owners`")  # Dagster warns of its own sensors


def exec_pipeline_command(module: str, *arguments: str) -> NoReturn:
    """Continue as ``python -m pipeline_assets.commands.<module>``."""
    load_settings()  # a wrong setting is told here, at once
    sys.stdout.flush()
    program = [sys.executable, *_QUIET, "-m", f"pipeline_assets.commands.{module}", *arguments]
    os.execv(sys.executable, program)  # noqa: S606


@click.command()
@click.option("--org", help="Only of this organisation. [default: all]")
@click.option("--kind", type=click.Choice(KINDS), help="Only recordings of this kind.")
@click.option("--since", type=click.DateTime(), help="Only recordings added since.")
@click.option("--stage", type=click.Choice(STAGES), help="Only from this stage on.")
@click.option("--apply", is_flag=True, help="Have it made so.")
@click.option("--confirm-usd", type=click.FloatRange(min=0), help="The price you agree to.")
@click.option("--patient", is_flag=True, help="Wait up to a day, at half the provider's price.")
@click.option("--list", "listed", is_flag=True, help="What was planned so far.")
@click.option("--cancel", type=int, metavar="PLAN", help="Begin nothing more of this plan.")
@json_option
def plan(**asked: object) -> None:
    """List missing, stale, outdated, failed and orphaned results, and the cost to rebuild."""
    exec_pipeline_command("plan", json_line(asked))
