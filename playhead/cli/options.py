"""What commands share: options that many take, and how a line of JSON is printed."""

from __future__ import annotations

from typing import Any

import click

from resources.json_lines import json_line

org_option = click.option("--org", help="Organisation. [default: PLAYHEAD_ORG, else 'default']")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")


def print_json(value: Any) -> None:
    """One line, whatever the value holds."""
    click.echo(json_line(value))
