"""What came back, before it is believed: bytes to a JSON object, or a named error.

Replies lie: a 200 may hold ``{}``, half an object, or a login page. Adapters check what is in one;
here is what all of them check first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from playhead.core.errors import InvalidProviderResponse

_RETRY_REMEDY = (
    "It is asked once more by itself; what came is kept to look at (playhead quarantine)."
)


class Headers(Protocol):
    def items(self) -> Iterable[tuple[str, str]]: ...


def json_object(content: bytes) -> Mapping[str, Any]:
    """Raises ``ReplyNotBelieved``; a web page among them is the wire's to recognise."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise invalid_response("is no JSON", content) from error
    if not isinstance(value, dict):
        raise invalid_response("is no JSON object", content)
    return value


def invalid_response(why: str, reply: bytes) -> InvalidProviderResponse:
    return InvalidProviderResponse(f"The reply {why}.", reply=reply, remedy=_RETRY_REMEDY)


def plain_headers(headers: Headers) -> dict[str, str]:
    """With names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def token_count(usage: Any, *names: str) -> int | None:
    """The first of these counts that usage tells; None where it tells none. Nought is not told:
    some servers count nothing, and what was sent was something."""
    if isinstance(usage, dict):
        for name in names:
            value = usage.get(name)
            if type(value) is int and value > 0:
                return value
    return None
