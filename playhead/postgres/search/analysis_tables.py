"""One organisation's tables for analysis: complete, with the names that people gave.

Read-only, with the application role.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg.rows import DictRow

from playhead.core.records import Transcript
from playhead.postgres.database import Database, Organisation, queries
from playhead.postgres.pipeline.content import transcript_of_row

_SQL = queries("analysis_tables")
_CONTENT = queries("content")

#: A recording's id, its transcript, and the names of its speakers by label.
TranscriptUnit = tuple[str, Transcript, dict[str, str]]


class AnalysisTables:
    """Reads one organisation's tables; ``recording`` None means all recordings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recordings(self, org_id: str) -> list[DictRow]:
        return self._within(org_id).rows(_SQL["recordings"])

    def transcripts(self, org_id: str, recording: str | None) -> Iterator[TranscriptUnit]:
        """Yield transcripts lazily; those deleted meanwhile are left out."""
        within = self._within(org_id)
        for row in within.rows(_SQL["transcripts"], recording=recording):
            names = row.pop("names")
            if transcript_row := within.row(_CONTENT["transcript"], org_id=org_id, **row):
                yield str(row["recording_id"]), transcript_of_row(transcript_row), names

    def chunks(self, org_id: str, recording: str | None) -> list[DictRow]:
        """Return the chunks with vectors in the active set."""
        return self._within(org_id).rows(_SQL["chunks"], recording=recording)

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")
