"""Options, lookups and output that several commands share."""

from __future__ import annotations

from typing import Any

import click

from playhead.core.json_lines import json_line
from playhead.core.records import Recording
from playhead.services.context import Services

org_option = click.option("--org", help="Organisation. [default: PLAYHEAD_ORG, else 'default']")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")


def print_json(value: Any) -> None:
    """Print any value as one line of JSON."""
    click.echo(json_line(value))


def require_recording(services: Services, org: str | None, recording: str) -> Recording:
    """Return the recording. Raises ``NotFound``, also for one of another organisation."""
    return services.pipeline.recordings.get(services.require_organisation(org), recording)
