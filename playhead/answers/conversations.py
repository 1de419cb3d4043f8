"""What was kept of conversations, read again: every citation is looked up, and shows its second
only while its words still stand there.

Not here: answering (``answers.py``), the rows (``playhead/postgres/search/conversations.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from playhead.answers.citation_check import Citation, CitedSentence
from playhead.answers.quote_matching import find_quote_near
from playhead.answers.sanitize import sanitize
from playhead.core.errors import NotFound, RecordingDeleted
from playhead.core.media_links import media_link
from playhead.core.protocols.answerer import ConversationTurn
from playhead.core.records import Json
from playhead.core.timecode import format_timecode
from playhead.postgres.search.conversations import ConversationSummary
from playhead.services.context import Services
from playhead.transcripts.word_positions import TimedText


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A question and its answer as it stands today. ``question`` is None where it told of a
    recording that was forgotten."""

    ordinal: int
    question: str | None
    found: bool
    sentences: tuple[CitedSentence, ...]
    citations: tuple[Citation, ...]
    note: str | None
    engine: Json
    asked_at: datetime

    @property
    def for_prompt(self) -> ConversationTurn:
        """For whoever answers the next question: without what no longer holds."""
        holds = {one.number for one in self.citations if one.state == "current"}
        told = [one.text for one in self.sentences if one.text and holds.issuperset(one.cites)]
        return ConversationTurn(self.question or "", " ".join(told))


@dataclass(frozen=True, slots=True)
class TranscriptCache:
    """Of one organisation's recordings, as they are now."""

    services: Services
    org_id: str

    def get(self, recording: str) -> TimedText | None:
        try:
            known = self.services.pipeline.recordings.get(self.org_id, recording)
            standing = self.services.pipeline.results.current_results([known])[known.id].get(
                ("transcript", 0)
            )
            return (
                self.services.pipeline.content.timed_text(known, standing.id) if standing else None
            )
        except (RecordingDeleted, NotFound):
            return None


@dataclass(frozen=True, slots=True)
class ConversationHistory:
    """One organisation's conversations."""

    services: Services
    org_id: str

    def summaries(self, limit: int) -> list[ConversationSummary]:
        """The newest first."""
        return self.services.search.conversations.summaries(self.org_id, limit)

    def turns(self, conversation: str) -> list[StoredTurn]:
        """The oldest first. Raises ``NotFound``."""
        spoken = cache(TranscriptCache(self.services, self.org_id).get)
        rows = self.services.search.conversations.turns(self.org_id, conversation)
        return [self._turn(row, spoken) for row in rows]

    def _turn(self, row: dict[str, Any], spoken: Callable[[str], TimedText | None]) -> StoredTurn:
        sentences = [
            CitedSentence(one["text"], tuple(one["cites"])) for one in row.pop("sentences")
        ]
        citations = [self._citation(one, spoken) for one in row.pop("citations")]
        return StoredTurn(**row, sentences=tuple(sentences), citations=tuple(citations))

    def _citation(self, row: Json, spoken: Callable[[str], TimedText | None]) -> Citation:
        number, recording = row["number"], row["recording"]
        if recording is None:
            return Citation(number, "forgotten")
        title, quote = sanitize(row["title"]), sanitize(row["quote"])
        transcript = spoken(recording)
        said = transcript and find_quote_near(row["quote"], row["start_seconds"], transcript)
        if not said:
            return Citation(number, "corrected", recording, title, quote=quote)
        return Citation(
            number=number,
            state="current",
            recording=recording,
            title=title,
            quote=quote,
            start_seconds=said[0],
            end_seconds=said[1],
            timecode=format_timecode(said[0]),
            link=media_link(self.services.files.media.link(recording, row["suffix"]), said[0]),
            chunk=row["chunk"],
        )
