"""One organisation's tables as people analyse them: whole, with the names they gave.

Read-only, as the application role. Not here: frames (``playhead/notebook``), single recordings as
commands show them (``catalogue.py``, ``content.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg.rows import DictRow

from playhead.core.records import Transcript
from playhead.postgres.database import Database, Organisation, queries
from playhead.postgres.pipeline.content import transcript_of_row

_SQL = queries("analysis_tables")
_CONTENT = queries("content")

#: A recording's id, what is said in it, and names by label.
TranscriptUnit = tuple[str, Transcript, dict[str, str]]


class AnalysisTables:
    """Whatever is asked is one organisation's; ``recording`` None: of all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recordings(self, org_id: str) -> list[DictRow]:
        return self._within(org_id).rows(_SQL["recordings"])

    def transcripts(self, org_id: str, recording: str | None) -> Iterator[TranscriptUnit]:
        """One at a time, those that went meanwhile left out."""
        within = self._within(org_id)
        for row in within.rows(_SQL["transcripts"], recording=recording):
            names = row.pop("names")
            if said := within.row(_CONTENT["transcript"], org_id=org_id, **row):
                yield str(row["recording_id"]), transcript_of_row(said), names

    def chunks(self, org_id: str, recording: str | None) -> list[DictRow]:
        """Those that the active set has vectors of."""
        return self._within(org_id).rows(_SQL["chunks"], recording=recording)

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")
