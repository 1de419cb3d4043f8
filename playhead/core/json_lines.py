"""Encoding of records as single lines of JSON, as every command prints them with ``--json``."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID


def json_line(value: Any) -> str:
    """Return ``value`` as one line of JSON.

    Dates are written in ISO 8601, ``Decimal`` as a number, ``UUID`` as text. Raises ``TypeError``
    for other values without a JSON form.
    """
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
