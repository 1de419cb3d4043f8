"""Quarantine: provider responses that failed validation, stored unchanged for a person to inspect.

They never reach a content column, and are deleted with the recordings they were for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from playhead.core.errors import NotFound
from playhead.postgres.database import Database, queries

MAX_REPLY_BYTES = 1 << 20  # the rest of a longer reply is not stored

_SQL = queries("quarantine")


@dataclass(frozen=True, slots=True)
class QuarantinedReply:
    """A quarantined reply without its ``bytes``; ``recordings`` are the ids it was for."""

    id: int
    org_id: str
    provider: str
    model: str
    endpoint: str
    purpose: str
    reason: str
    bytes: int
    kept_at: datetime
    recordings: list[str]


class Quarantine:
    """Stores invalid replies. Safe for several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, org_id: str, attempt_id: int, *, reason: str, reply: bytes) -> None:
        """Store the first ``MAX_REPLY_BYTES`` of a reply."""
        values = {"attempt_id": attempt_id, "reason": reason, "reply": reply[:MAX_REPLY_BYTES]}
        self._database.as_role(org_id, "playhead_pipeline").run(_SQL["add"], **values)

    def replies(self, org_id: str) -> list[QuarantinedReply]:
        """Return the quarantined replies, oldest first."""
        read = self._database.as_role(org_id, "playhead_app")
        return [QuarantinedReply(**row) for row in read.rows(_SQL["list"], org_id=org_id)]

    def reply(self, org_id: str, identity: int) -> bytes:
        """Return the bytes of a reply. Raises ``NotFound``."""
        read = self._database.as_role(org_id, "playhead_app")
        row = read.row(_SQL["reply"], org_id=org_id, id=identity)
        if row is None:
            raise _missing(identity)
        return bytes(row["reply"])

    def delete(self, org_id: str, identity: int) -> None:
        """Delete a reply. Raises ``NotFound``."""
        writer = self._database.as_role(org_id, "playhead_pipeline")
        if not writer.run(_SQL["delete"], org_id=org_id, id=identity):
            raise _missing(identity)


def _missing(identity: int) -> NotFound:
    return NotFound(
        f"No response {identity} is in quarantine.", remedy="`playhead quarantine` lists them."
    )
