"""One organisation's tables as people analyse them: whole, with the names they gave.

Read-only, as the application role. Not here: frames (``playhead/notebook``), single recordings as
commands show them (``catalogue.py``, ``content.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from psycopg.rows import DictRow

from resources.errors import NotFound
from resources.postgres.content import transcript_of_row
from resources.postgres.database import Database, Organisation, queries
from resources.postgres.spend import Grouping
from resources.records import Transcript

_SQL = queries("tables")
_CONTENT, _SPEND = queries("content"), queries("spend")

#: A recording's id, what is said in it, and names by label.
Said = tuple[str, Transcript, dict[str, str]]


class Tables:
    """Whatever is asked is one organisation's; ``recording`` None: of all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insist_on_organisation(self, org_id: str) -> None:
        """Raises ``NotFound``."""
        if self._within(org_id).row(_SQL["organisation"]) is None:
            raise NotFound(
                f"No such organisation: {org_id}.",
                remedy="`playhead orgs` shows those there are.",
            )

    def recordings(self, org_id: str) -> list[DictRow]:
        return self._within(org_id).rows(_SQL["recordings"])

    def transcripts(self, org_id: str, recording: str | None) -> Iterator[Said]:
        """One at a time, those that went meanwhile left out."""
        within = self._within(org_id)
        for row in within.rows(_SQL["transcripts"], recording=recording):
            names = row.pop("names")
            if said := within.row(_CONTENT["transcript"], org_id=org_id, **row):
                yield str(row["recording_id"]), transcript_of_row(said), names

    def chunks(self, org_id: str, recording: str | None) -> list[DictRow]:
        """Those that the active set has vectors of."""
        return self._within(org_id).rows(_SQL["chunks"], recording=recording)

    def spent(self, org_id: str, by: Grouping, since: datetime | None) -> list[DictRow]:
        """As ``Spend.sums``."""
        name = "spent_by_recording" if by == "recording" else "spent_by"
        return self._within(org_id).rows(_SPEND[name], by=by, org_id=org_id, since=since)

    def _within(self, org_id: str) -> Organisation:
        return self._database.within(org_id, "playhead_app")
