"""Pieces of unfinished transcripts, stored when recognized and deleted with the whole stored."""

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
    """``PieceCache`` of one recording and engine, in the database."""

    organisation: Organisation
    recording: Recording
    engine_hash: str

    def get(self, sound: str, language: str | None) -> Transcript | None:
        row = self.organisation.row(_SQL["get"], **self._key(sound, language))
        return transcript_of_row(row["transcript"]) if row else None

    def put(self, sound: str, language: str | None, piece: Transcript) -> None:
        """Store a piece. Raises ``RecordingDeleted``."""
        values = self._key(sound, language) | {
            "transcript": Jsonb(replace_unstorable_chars(asdict(piece)))
        }
        try:
            self.organisation.run(_SQL["put"], **values)
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
    """The piece caches of all recordings with an unfinished transcript."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, recording: Recording, engine: Engine) -> StoredPieceCache:
        """Return the cache for exactly this engine; another one finds none of its pieces."""
        within = self._database.as_role(recording.org_id, "playhead_pipeline")
        return StoredPieceCache(within, recording, content_hash(asdict(engine)))

    def delete(self, connection: Connection, recording: Recording) -> None:
        """Delete the pieces in the transaction that stores the transcript."""
        values = {"org_id": recording.org_id, "recording_id": recording.id}
        connection.execute(_SQL["delete"], values)
