"""Parse ids that a person or program passes as text."""

from __future__ import annotations

from uuid import UUID


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID, or None if the text is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
