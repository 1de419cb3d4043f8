"""Taking a file in: stored under our own id, registered, told apart from what is there.

The order makes every crash harmless: bytes durable first, then the row, and only then may the
source go. Both ways in use this: ``playhead add`` and the inbox sensor.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from playhead.core.records import Kind, Recording, SpeakerSource
from playhead.media.store import MediaStore, Received, safe_suffix
from playhead.postgres.pipeline.recordings import Recordings, new_recording_id

_MAX_TITLE_CHARACTERS = 500  # characters; longer names are cut, the upload is kept


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a file: a new recording, or the one that has the same bytes."""

    recording: Recording
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Ingest:
    catalogue: Recordings
    media: MediaStore

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
        """Store and register one file; the source stays. ``name``: what it is called, where that
        is not what its copy here is called. Raises ``OSError`` when it cannot be read or stored,
        and what ``MediaStore.keep`` raises; then nothing was registered."""
        received = self.media.receive(file)
        try:
            return self._register(
                received, name or file.name, org_id, title, kind, language, speakers
            )
        finally:
            self.media.drop(received)

    def _register(
        self,
        received: Received,
        name: str,
        org_id: str,
        title: str | None,
        kind: Kind,
        language: str | None,
        speakers: SpeakerSource,
    ) -> IngestResult:
        if same := self.catalogue.with_bytes(org_id, received.sha256):
            if not self.media.has(same):
                self.media.keep(received, same)
            self.catalogue.unarchive(org_id, [same.id])
            return IngestResult(same, duplicate=True)
        wanted = Recording(
            id=new_recording_id(),
            org_id=org_id,
            sha256=received.sha256,
            size_bytes=received.size_bytes,
            kind=kind,
            title=clean_title(title if title is not None else Path(name).stem),
            language=language,
            suffix=safe_suffix(name),
            speakers=speakers,
        )
        self.media.keep(received, wanted)
        registered = self.catalogue.add(wanted)
        if registered.id != wanted.id:  # the same bytes came in twice at this very moment
            self.media.discard(wanted)
        return IngestResult(registered, duplicate=registered.id != wanted.id)


def clean_title(title: str) -> str:
    """One line of printable characters, at most 500 of them; never empty."""
    visible = "".join(" " if _is_line_break(character) else character for character in title)
    return " ".join(visible.split())[:_MAX_TITLE_CHARACTERS].strip() or "Untitled"


def _is_line_break(character: str) -> bool:
    """Control characters, line ends, and the surrogates of file names that are not UTF-8."""
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
