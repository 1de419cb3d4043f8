"""The JSON object that a text model is asked for: its schema, and the object read out of an answer.

Pure. Not here: asking (``prompting.py``), what the objects mean (``writing/notes.py``,
``answering/reply.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_OUTERMOST_BRACES: Final = re.compile(r"\{.*\}", re.DOTALL)


class SchemaMismatch(ValueError):
    """Why an answer is not to be believed, as the end of "The reply …"."""


def object_schema(**properties: Any) -> dict[str, Any]:
    """With these properties, all required, in this order, and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array_schema(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def parse_object(answer: str) -> dict[str, Any]:
    """Servers that cannot be held to a schema put words or fences around it. Raises
    ``NotAsAsked``."""
    found = _OUTERMOST_BRACES.search(answer)
    try:
        value = json.loads(found.group()) if found else None
    except (ValueError, RecursionError) as error:
        raise SchemaMismatch("holds an object that is no JSON") from error
    if not isinstance(value, dict):
        raise SchemaMismatch("holds no JSON object")
    return value


def require_fields(value: Any, *names: str) -> list[Any]:
    """None for what is not there, or where it is no object."""
    return [value.get(name) if isinstance(value, dict) else None for name in names]
