"""What commands share: options that many take, and how a line of JSON is printed."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click

org_option = click.option("--org", help="Organisation. [default: PLAYHEAD_ORG, else 'default']")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")


def print_json(value: Any) -> None:
    """One line, whatever the value holds."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
