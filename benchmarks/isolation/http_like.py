"""Application code, tried with the keys of others: search, answers, commands, exports, notebook.

``attacker.py`` tries the services behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from click.testing import CliRunner

from benchmarks.isolation.tenants import SAME, Tenant
from benchmarks.isolation.ways import Way
from playhead.answers.conversations import ConversationHistory
from playhead.answers.service import AnswerService
from playhead.cli.main import playhead
from playhead.core.records import NO_FILTER, SearchFilter
from playhead.engines.answering.extractive import ExtractiveAnswerer
from playhead.exports.transcripts import FORMATS
from playhead.notebook.library import Library
from playhead.search.service import SearchService, open_search
from playhead.services.context import Services

_RARELY = 0.1  # decoding and encoding a clip takes as long as hundreds of answers
_LIMIT = 20


class ApiUser:
    """Uses the application code for one organisation at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def ways(self) -> dict[str, Way]:
        return self._search_ways() | self._answer_ways() | _commands() | _exports() | _notebook()

    def _search_ways(self) -> dict[str, Way]:
        def in_recording(tenant: Tenant, owner: Tenant) -> Iterable[object]:
            return self._hits(tenant, SAME, SearchFilter(recordings=(owner.recording.id,)))

        def by_speaker(tenant: Tenant, owner: Tenant) -> Iterable[object]:
            return self._hits(tenant, SAME, SearchFilter(speakers=(owner.canary,)))

        return {
            "search": Way(lambda tenant, _: self._hits(tenant, SAME)),
            "search recordings": Way(
                lambda tenant, _: self._search_service(tenant).recordings(SAME).recordings
            ),
            "search another's words": Way(lambda tenant, other: self._hits(tenant, other.canary)),
            "search in a recording": Way(lambda tenant, _: in_recording(tenant, tenant)),
            "search in another's recording": Way(in_recording),
            "search by a speaker": Way(lambda tenant, _: by_speaker(tenant, tenant)),
            "search by another's speaker": Way(by_speaker, names_other=True),
        }

    def _answer_ways(self) -> dict[str, Way]:
        def turns(tenant: Tenant, owner: Tenant) -> Iterable[object]:
            return self._conversations(tenant).turns(owner.keys["conversation"])

        def continue_conversation(tenant: Tenant, owner: Tenant) -> Iterable[object]:
            return [self._answer_service(tenant)(SAME, conversation=owner.keys["conversation"])]

        def in_recording(tenant: Tenant, other: Tenant) -> Iterable[object]:
            return [
                self._answer_service(tenant)(
                    SAME, filters=SearchFilter(recordings=(other.recording.id,))
                )
            ]

        return {
            "answer": Way(lambda tenant, _: [self._answer_service(tenant)(SAME)]),
            "answer from another's recording": Way(in_recording),
            "answer in a conversation": Way(
                lambda tenant, _: continue_conversation(tenant, tenant)
            ),
            "answer in another's conversation": Way(continue_conversation),
            "conversations": Way(lambda tenant, _: self._conversations(tenant).summaries(_LIMIT)),
            "turns": Way(lambda tenant, _: turns(tenant, tenant)),
            "turns of another's": Way(turns),
        }

    def _search_service(self, tenant: Tenant) -> SearchService:
        return open_search(self._services, tenant.org)

    def _hits(
        self, tenant: Tenant, query: str, filters: SearchFilter = NO_FILTER
    ) -> Iterable[object]:
        search_and_ask = self._search_service(tenant)(query, filters=filters, limit=_LIMIT)
        return [*search_and_ask.hits, search_and_ask.note]

    def _answer_service(self, tenant: Tenant) -> AnswerService:
        return AnswerService(self._services, self._search_service(tenant), ExtractiveAnswerer())

    def _conversations(self, tenant: Tenant) -> ConversationHistory:
        return ConversationHistory(self._services, tenant.org)


def _commands() -> dict[str, Way]:
    """Return the commands that read: lists, a recording, a conversation."""
    ways: dict[str, Way] = {}
    for name in ("list", "members", "tokens", "spend", "quarantine", "conversations"):
        ways[f"command {name}"] = Way(partial(_list_command, name))
    for name in ("status", "show", "versions", "speakers"):
        ways |= _own_and_foreign(f"command {name}", [name])
    return ways


def _list_command(command: str, tenant: Tenant, _other: Tenant) -> Iterator[object]:
    return _run_command(tenant, command)


def _exports() -> dict[str, Way]:
    ways = _own_and_foreign("document", ["document"])
    for export_format in FORMATS:
        ways |= _own_and_foreign(
            f"transcript as {export_format}", ["transcript", "--as", export_format]
        )

    def clip(tenant: Tenant, owner: Tenant) -> Iterator[object]:
        with TemporaryDirectory(dir=".") as folder:  # in the home, which is removed at the end
            path = Path(folder) / "clip.opus"
            time_range = ("--from", "0", "--to", "0.5", "--output", str(path))
            yield from _run_command(tenant, "clip", owner.recording.id, *time_range)
            yield f"{path.stat().st_size} bytes"

    return ways | {
        "clip": Way(lambda tenant, _: clip(tenant, tenant), weight=_RARELY),
        "clip of another's": Way(clip),
    }


def _own_and_foreign(name: str, command: list[str]) -> dict[str, Way]:
    """Return a command for an own recording and one for another's."""

    def run(tenant: Tenant, owner: Tenant) -> Iterable[object]:
        return _run_command(tenant, *command, owner.recording.id)

    return {name: Way(lambda tenant, _: run(tenant, tenant)), f"{name} of another's": Way(run)}


def _run_command(tenant: Tenant, *arguments: str) -> Iterator[object]:
    """Yield the output of a command, and raise its error at the end."""
    result = CliRunner().invoke(playhead, [*arguments, "--org", tenant.org])
    yield from result.output.splitlines()
    if isinstance(result.exception, SystemExit):
        raise AssertionError(result.output)  # wrong usage by this module
    if result.exception is not None:
        raise result.exception


def _notebook() -> dict[str, Way]:
    def read_frames(tenant: Tenant, _other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as library:
            for frame in (
                library.recordings(),
                library.chunks(),
                library.words(),
                library.spend("recording"),
            ):
                yield from _iterate_rows(frame)

    def search_and_ask(tenant: Tenant, _other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as library:
            yield from _iterate_rows(library.search(SAME))
            yield from _iterate_rows(library.ask(SAME))

    def read_words(tenant: Tenant, owner: Tenant) -> Iterator[object]:
        with Library(tenant.org) as library:
            yield from _iterate_rows(library.words(owner.recording.id))

    def read_chunks(tenant: Tenant, owner: Tenant) -> Iterator[object]:
        with Library(tenant.org) as library:
            yield from _iterate_rows(library.chunks(owner.recording.id))

    def continue_conversation(tenant: Tenant, other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as library:
            yield from _iterate_rows(library.ask(SAME, conversation=other.keys["conversation"]))

    return {
        "notebook of all": Way(read_frames),
        "notebook search and answer": Way(search_and_ask),
        "notebook words": Way(lambda tenant, _: read_words(tenant, tenant)),
        "notebook words of another's": Way(read_words),
        "notebook chunks": Way(lambda tenant, _: read_chunks(tenant, tenant)),
        "notebook chunks of another's": Way(read_chunks),
        "notebook answer in another's conversation": Way(continue_conversation),
    }


def _iterate_rows(frame: pd.DataFrame) -> Iterator[object]:
    yield from frame.itertuples(index=False, name=None)
    yield frame.attrs
