"""Stored conversations, with every citation checked against the current transcripts.

A citation has its time only while its words are still in the transcript.
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
    """A stored question and its answer, checked against the current transcripts.

    ``question`` is None if it was based on a recording that was deleted.
    """

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
        """Return the turn for the prompt of the next question.

        Only sentences whose citations are all current are included.
        """
        current = {citation.number for citation in self.citations if citation.state == "current"}
        sentences = [
            sentence.text
            for sentence in self.sentences
            if sentence.text and current.issuperset(sentence.cites)
        ]
        return ConversationTurn(self.question or "", " ".join(sentences))


@dataclass(frozen=True, slots=True)
class TranscriptCache:
    """Access to the current transcripts of one organisation's recordings."""

    services: Services
    org_id: str

    def get(self, recording: str) -> TimedText | None:
        try:
            known = self.services.pipeline.recordings.get(self.org_id, recording)
            current = self.services.pipeline.results.current_results([known])[known.id].get(
                ("transcript", 0)
            )
            return self.services.pipeline.content.timed_text(known, current.id) if current else None
        except (RecordingDeleted, NotFound):
            return None


@dataclass(frozen=True, slots=True)
class ConversationHistory:
    """The stored conversations of one organisation."""

    services: Services
    org_id: str

    def summaries(self, limit: int) -> list[ConversationSummary]:
        """Return the latest conversations, newest first."""
        return self.services.search.conversations.summaries(self.org_id, limit)

    def turns(self, conversation: str) -> list[StoredTurn]:
        """Return the turns of a conversation, oldest first.

        Raises ``NotFound`` if there is no such conversation.
        """
        transcript_of = cache(TranscriptCache(self.services, self.org_id).get)
        rows = self.services.search.conversations.turns(self.org_id, conversation)
        return [self._turn(row, transcript_of) for row in rows]

    def _turn(
        self, row: dict[str, Any], transcript_of: Callable[[str], TimedText | None]
    ) -> StoredTurn:
        sentences = [
            CitedSentence(sentence["text"], tuple(sentence["cites"]))
            for sentence in row.pop("sentences")
        ]
        citations = [self._citation(citation, transcript_of) for citation in row.pop("citations")]
        return StoredTurn(**row, sentences=tuple(sentences), citations=tuple(citations))

    def _citation(self, row: Json, transcript_of: Callable[[str], TimedText | None]) -> Citation:
        number, recording = row["number"], row["recording"]
        if recording is None:
            return Citation(number, "forgotten")
        title, quote = sanitize(row["title"]), sanitize(row["quote"])
        transcript = transcript_of(recording)
        times = transcript and find_quote_near(row["quote"], row["start_seconds"], transcript)
        if not times:
            return Citation(number, "corrected", recording, title, quote=quote)
        return Citation(
            number=number,
            state="current",
            recording=recording,
            title=title,
            quote=quote,
            start_seconds=times[0],
            end_seconds=times[1],
            timecode=format_timecode(times[0]),
            link=media_link(self.services.files.media.link(recording, row["suffix"]), times[0]),
            chunk=row["chunk"],
        )
