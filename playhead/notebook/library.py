"""Access to one organisation's recordings from a notebook, with results as data frames.

Everything runs in the calling thread without an event loop, so it works inside one as well.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pandas as pd

from playhead.answers.service import AnswerService
from playhead.core.errors import ConfigurationError
from playhead.core.records import NO_FILTER, SearchFilter
from playhead.core.settings import load_settings
from playhead.engines.registry import build_answerer
from playhead.notebook import frames
from playhead.postgres.provider_use.spend import Grouping
from playhead.search.service import SearchService, open_search
from playhead.services.context import Services, open_services


class LibraryClosed(ConfigurationError):
    """The library was used after it was closed."""


@dataclass(frozen=True, slots=True)
class _Opened:
    services: Services
    search: SearchService
    answers: AnswerService


class Library:
    """One organisation's recordings, open until ``close()`` or the end of a ``with`` block."""

    def __init__(self, org: str | None = None, *, home: str | Path | None = None) -> None:
        settings = load_settings(home=home)
        with ExitStack() as stack:
            services = stack.enter_context(open_services(settings))
            self.org = services.require_organisation(org)
            search = open_search(services, self.org)
            answers = AnswerService(services, search, build_answerer(settings))
            self._open_library: _Opened | None = _Opened(services, search, answers)
            self._closing = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the library; closing it again has no effect."""
        self._open_library = None
        self._closing.close()

    def search(
        self, query: str, *, filters: SearchFilter = NO_FILTER, limit: int = 10
    ) -> pd.DataFrame:
        """Return the moments that match the query, best first.

        Raises the errors of ``SearchService``.
        """
        return frames.hits_frame(self._open.search(query, filters=filters, limit=limit))

    def ask(
        self, question: str, *, filters: SearchFilter = NO_FILTER, conversation: str | None = None
    ) -> pd.DataFrame:
        """Return the answer, a row per citation of each sentence.

        There is no row if the recordings do not answer the question. Pass ``attrs["conversation"]``
        with the next question to continue the conversation. Raises the errors of ``AnswerService``.
        """
        answer = self._open.answers(question, filters=filters, conversation=conversation)
        return frames.citations_frame(answer)

    def recordings(self) -> pd.DataFrame:
        """Return all recordings, oldest first."""
        return frames.to_frame(
            self._open.services.search.tables.recordings(self.org), frames.RECORDINGS
        )

    def words(self, recording: str | None = None) -> pd.DataFrame:
        """Return the words of a recording's transcript, or of all transcripts.

        Raises ``NotFound`` if there is no such recording.
        """
        tables = self._open.services.search.tables
        self._require_recording(recording)
        transcripts = tables.transcripts(self.org, recording)
        word_frames = (frames.words_frame(*transcript) for transcript in transcripts)
        return frames.concat_frames(word_frames, frames.WORDS)

    def chunks(self, recording: str | None = None) -> pd.DataFrame:
        """Return the searchable chunks of a recording, or of all recordings.

        Raises ``NotFound`` if there is no such recording.
        """
        self._require_recording(recording)
        return frames.to_frame(
            self._open.services.search.tables.chunks(self.org, recording), frames.CHUNKS
        )

    def spend(self, by: Grouping = "day", *, since: datetime | None = None) -> pd.DataFrame:
        """Return the costs paid to providers, grouped by ``by``.

        A ``since`` without a time zone is UTC.
        """
        begin = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
        sums = self._open.services.provider_use.spend.sums(by, org_id=self.org, since=begin)
        return frames.to_frame(map(asdict, sums), {"what": "str", **frames.SUMS}).rename(
            columns={"what": by}
        )

    @property
    def _open(self) -> _Opened:
        if self._open_library is None:
            raise LibraryClosed(
                "This library is closed.", remedy="Open a new one: playhead.open()."
            )
        return self._open_library

    def _require_recording(self, recording: str | None) -> None:
        if recording is not None:
            self._open.services.pipeline.recordings.get(self.org, recording)
