"""Pieces of transcripts under way: kept as soon as they are heard, gone once the whole is stored.

Not here: what a piece is (``playhead/engines/transcription``), whole transcripts (``content.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from playhead.core.errors import RecordingDeleted
from playhead.core.records import Engine, Recording, Transcript, content_hash
from playhead.postgres.database import (
    Connection,
    Database,
    Organisation,
    queries,
    replace_unstorable_chars,
)
from playhead.postgres.pipeline.content import transcript_of_row

_SQL = queries("transcript_pieces")


@dataclass(frozen=True, slots=True)
class StoredPieceCache:
    """``Finished`` of one recording and engine."""

    organisation: Organisation
    recording: Recording
    engine_hash: str

    def get(self, sound: str, language: str | None) -> Transcript | None:
        row = self.organisation.row(_SQL["found"], **self._key(sound, language))
        return transcript_of_row(row["transcript"]) if row else None

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        """Raises ``Forgotten``."""
        values = self._key(sound, language) | {
            "transcript": Jsonb(replace_unstorable_chars(asdict(piece)))
        }
        try:
            self.organisation.run(_SQL["keep"], **values)
        except psycopg.errors.ForeignKeyViolation:
            raise RecordingDeleted from None

    def _key(self, sound: str, language: str | None) -> dict[str, Any]:
        return {
            "org_id": self.recording.org_id,
            "recording_id": self.recording.id,
            "engine_hash": self.engine_hash,
            "language": language or "",
            "sound": sound,
        }


class TranscriptPieces:
    """Of all recordings whose transcripts are not whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, recording: Recording, engine: Engine) -> StoredPieceCache:
        """An engine that differs in anything finds none of another's."""
        within = self._database.as_role(recording.org_id, "playhead_pipeline")
        return StoredPieceCache(within, recording, content_hash(asdict(engine)))

    def delete(self, connection: Connection, recording: Recording) -> None:
        """In the transaction that stores the transcript: from then on the ledger has it."""
        values = {"org_id": recording.org_id, "recording_id": recording.id}
        connection.execute(_SQL["let_go"], values)
