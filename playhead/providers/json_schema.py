"""JSON answers of text models: the schema that is sent, and the validation of what comes back.

Both come from one pydantic model. Pure functions.
"""

from __future__ import annotations

from typing import Any, TypeVar

import jiter
from pydantic import BaseModel, ConfigDict, ValidationError

M = TypeVar("M", bound="ReplyModel")


class SchemaMismatch(ValueError):
    """An answer does not match the schema. The message completes "The reply …"."""


class ReplyModel(BaseModel):
    """Base of the objects in a reply. Types are strict; unknown properties are ignored."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, json_schema_extra={"additionalProperties": False}
    )


def reply_schema(model: type[ReplyModel]) -> dict[str, Any]:
    """Return the JSON Schema that a model server is asked to follow."""
    return model.model_json_schema()


def parse_reply(model: type[M], answer: str) -> M:
    """Return the validated JSON object in an answer.

    Servers that cannot enforce a schema put text or code fences around it. Raises
    ``SchemaMismatch``.
    """
    start, end = answer.find("{"), answer.rfind("}") + 1
    if start < 0 or end <= start:
        raise SchemaMismatch("contains no JSON object")
    try:
        return model.model_validate(jiter.from_json(answer[start:end].encode()))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SchemaMismatch(f"is invalid at {place or 'its top'}: {problem['msg']}") from error
    except ValueError as error:
        raise SchemaMismatch(f"contains invalid JSON: {error}") from error


def parse_partial(text: str) -> tuple[Any, bool]:
    """Return the JSON value in the beginning of an answer, and True if it is complete.

    Of an incomplete value the last element may be cut off. None if there is no value yet.
    """
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0:
        return None, False
    try:
        return jiter.from_json(text[start:end].encode()), True
    except ValueError:
        pass
    try:
        return jiter.from_json(text[start:].encode(), partial_mode="trailing-strings"), False
    except ValueError:
        return None, False
