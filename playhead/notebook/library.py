"""One organisation's recordings in a notebook: what is asked comes as a frame.

Everything is asked and answered in this thread, without an event loop, so it works in one as well
as outside. Not here: columns and types (``frames.py``), what the methods do (``playhead/search``,
``playhead/answers``, ``playhead/postgres/search/analysis_tables.py``).
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
    """It was closed, and is asked again."""


@dataclass(frozen=True, slots=True)
class _Opened:
    services: Services
    search: SearchService
    answers: AnswerService


class Library:
    """Closed with ``close()``, or at the end of a ``with``."""

    def __init__(self, org: str | None = None, *, home: str | Path | None = None) -> None:
        settings = load_settings(home=home)
        with ExitStack() as opened:
            services = opened.enter_context(open_services(settings))
            self.org = services.require_organisation(org)
            search = open_search(services, self.org)
            answers = AnswerService(services, search, build_answerer(settings))
            self._opened: _Opened | None = _Opened(services, search, answers)
            self._closing = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Twice does no harm."""
        self._opened = None
        self._closing.close()

    def search(
        self, query: str, *, narrowed: SearchFilter = NO_FILTER, limit: int = 10
    ) -> pd.DataFrame:
        """The moments that the query is about, best first. Raises as ``Search``."""
        return frames.hits_frame(self._open.search(query, narrowed=narrowed, limit=limit))

    def ask(
        self, question: str, *, narrowed: SearchFilter = NO_FILTER, conversation: str | None = None
    ) -> pd.DataFrame:
        """The answer, a row for each citation of each of its sentences; no row where the
        recordings do not say. ``attrs["conversation"]`` goes on with the next question. Raises
        as ``Answers``."""
        answer = self._open.answers(question, narrowed=narrowed, conversation=conversation)
        return frames.citations_frame(answer)

    def recordings(self) -> pd.DataFrame:
        """All of them, oldest first."""
        return frames.to_frame(
            self._open.services.search.tables.recordings(self.org), frames.RECORDINGS
        )

    def words(self, recording: str | None = None) -> pd.DataFrame:
        """Of a recording's transcript, or of all. Raises ``NotFound``."""
        tables = self._open.services.search.tables
        self._require_recording(recording)
        said = tables.transcripts(self.org, recording)
        made = (frames.words_frame(*one) for one in said)
        return frames.concat_frames(made, frames.WORDS)

    def chunks(self, recording: str | None = None) -> pd.DataFrame:
        """The passages that are searched, of a recording or of all. Raises ``NotFound``."""
        self._require_recording(recording)
        return frames.to_frame(
            self._open.services.search.tables.chunks(self.org, recording), frames.CHUNKS
        )

    def spend(self, by: Grouping = "day", *, since: datetime | None = None) -> pd.DataFrame:
        """What was paid to providers; ``since`` without a zone is UTC."""
        begin = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
        sums = self._open.services.provider_use.spend.sums(by, org_id=self.org, since=begin)
        return frames.to_frame(map(asdict, sums), {"what": "str", **frames.SUMS}).rename(
            columns={"what": by}
        )

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise LibraryClosed("This home is closed.", remedy="Open another: playhead.open().")
        return self._opened

    def _require_recording(self, recording: str | None) -> None:
        if recording is not None:
            self._open.services.pipeline.recordings.get(self.org, recording)
