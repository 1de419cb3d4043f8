"""Ingest a file: store it under our own id, register it and detect duplicates.

The order makes a crash at any point harmless: the bytes are stored durably first, then the row, and
only then may the source be deleted. Used by ``playhead add`` and the inbox.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playhead.core.partition_keys import build_partition_key
from playhead.core.records import Kind, Recording, SpeakerSource
from playhead.media.store import MediaStore, StagedFile, safe_suffix
from playhead.postgres.pipeline.recordings import Recordings, new_recording_id

_MAX_TITLE_CHARACTERS = 500  # longer titles are truncated; the upload is accepted


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The recording of an ingested file. ``duplicate``: it existed already, with the same bytes."""

    recording: Recording
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Ingest:
    """Ingests files."""

    recordings: Recordings
    media: MediaStore
    titles_in_partition_keys: bool = True

    def add(
        self,
        file: Path,
        *,
        org_id: str,
        name: str | None = None,
        title: str | None = None,
        kind: Kind = "recording",
        language: str | None = None,
        speakers: SpeakerSource = "none",
    ) -> IngestResult:
        """Store and register one file; the source file stays.

        ``name`` is the original file name if the copy has another. Raises ``OSError`` if the file
        cannot be read or stored, and the errors of ``MediaStore.stage``; nothing is registered
        then.
        """
        staged = self.media.stage(file)
        try:
            return self._register(
                staged, name or file.name, org_id, title, kind, language, speakers
            )
        finally:
            self.media.release(staged)

    def _register(
        self,
        staged: StagedFile,
        name: str,
        org_id: str,
        title: str | None,
        kind: Kind,
        language: str | None,
        speakers: SpeakerSource,
    ) -> IngestResult:
        if existing := self.recordings.with_bytes(org_id, staged.sha256):
            if not self.media.has(existing):
                self.media.commit(staged, existing)
            self.recordings.unarchive(org_id, [existing.id])
            return IngestResult(existing, duplicate=True)
        identity = new_recording_id()
        plain_title = clean_title(title if title is not None else Path(name).stem)
        recording = Recording(
            id=identity,
            partition_key=build_partition_key(
                datetime.now(UTC).date(),
                plain_title,
                identity,
                with_title=self.titles_in_partition_keys,
            ),
            org_id=org_id,
            sha256=staged.sha256,
            size_bytes=staged.size_bytes,
            kind=kind,
            title=plain_title,
            language=language,
            suffix=safe_suffix(name),
            speakers=speakers,
        )
        self.media.commit(staged, recording)
        registered = self.recordings.add(recording)
        if registered.id != recording.id:  # the same bytes were ingested twice at the same time
            self.media.delete_unregistered(recording)
        return IngestResult(registered, duplicate=registered.id != recording.id)


def clean_title(title: str) -> str:
    """Return the title as one line of printable characters, at most 500, never empty."""
    visible = "".join(" " if _is_line_break(character) else character for character in title)
    return " ".join(visible.split())[:_MAX_TITLE_CHARACTERS].strip() or "Untitled"


def _is_line_break(character: str) -> bool:
    """Return True for control characters, line ends and surrogates.

    Surrogates occur in file names that are not UTF-8.
    """
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
