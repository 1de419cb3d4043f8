"""Parse a provider's response into a JSON object, or raise a named error.

Responses may be wrong: a 200 may hold ``{}``, half an object or a login page. Adapters check the
content; these functions check what all of them have in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from playhead.core.errors import InvalidProviderResponse

_RETRY_REMEDY = "It is retried once automatically. `playhead quarantine` shows the response."


class Headers(Protocol):
    def items(self) -> Iterable[tuple[str, str]]: ...


def json_object(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object in a response.

    Raises ``InvalidProviderResponse``. Error classification recognises web pages among these
    responses.
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise invalid_response("is not JSON", content) from error
    if not isinstance(value, dict):
        raise invalid_response("is not a JSON object", content)
    return value


def invalid_response(problem: str, reply: bytes) -> InvalidProviderResponse:
    return InvalidProviderResponse(f"The response {problem}.", reply=reply, remedy=_RETRY_REMEDY)


def plain_headers(headers: Headers) -> dict[str, str]:
    """Return the headers with lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def token_count(usage: Any, *names: str) -> int | None:
    """Return the first of these counts that ``usage`` reports, or None.

    Zero counts as not reported: some servers count nothing, and what was sent had some tokens.
    """
    if isinstance(usage, dict):
        for name in names:
            value = usage.get(name)
            if type(value) is int and value > 0:
                return value
    return None
