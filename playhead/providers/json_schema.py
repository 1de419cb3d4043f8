"""JSON Schemas for text models, and parsing of their answers. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_OUTERMOST_BRACES: Final = re.compile(r"\{.*\}", re.DOTALL)


class SchemaMismatch(ValueError):
    """An answer does not match the schema. The message completes "The reply …"."""


def object_schema(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with exactly these properties, all required, in this order."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array_schema(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def parse_object(answer: str) -> dict[str, Any]:
    """Return the JSON object in an answer.

    Servers that cannot enforce a schema put text or code fences around it. Raises
    ``SchemaMismatch``.
    """
    found = _OUTERMOST_BRACES.search(answer)
    try:
        value = json.loads(found.group()) if found else None
    except (ValueError, RecursionError) as error:
        raise SchemaMismatch("contains invalid JSON") from error
    if not isinstance(value, dict):
        raise SchemaMismatch("contains no JSON object")
    return value


def require_fields(value: Any, *names: str) -> list[Any]:
    """Return the values of these fields, None for those that are missing.

    All are None if ``value`` is not an object.
    """
    return [value.get(name) if isinstance(value, dict) else None for name in names]
