"""Commands of the pipeline's own: this process becomes the pipeline's, so that signals reach it
and Dagster lives in a process of its own, which ``playhead`` never imports."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from resources.settings import load_settings

_QUIET = ("-W", "ignore:Parameter `owners`")  # Dagster warns of its own sensors


def become(module: str, *arguments: str) -> NoReturn:
    """Go on as ``python -m pipeline_assets.<module>``."""
    load_settings()  # a wrong setting is told here, at once
    sys.stdout.flush()
    program = [sys.executable, *_QUIET, "-m", f"pipeline_assets.{module}", *arguments]
    os.execv(sys.executable, program)  # noqa: S606


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="What should be made again, what it would cost, and the order to do it.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plan(arguments: tuple[str, ...]) -> None:
    become("plan", *arguments)
