"""What people have in hand, tried with the keys of others: search, answers, the commands that show
and export, and the notebook. Not here: the services behind them (``visitor.py``).
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

_RARELY = 0.1  # a clip is decoded and encoded, which takes as long as hundreds of answers
_LIMIT = 20


class ApiUser:
    """As a person of one organisation uses it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def ways(self) -> dict[str, Way]:
        return self._searches() | self._answers() | _commands() | _exports() | _notebook()

    def _searches(self) -> dict[str, Way]:
        def in_recording(tenant: Tenant, whose: Tenant) -> Iterable[object]:
            return self._hits(tenant, SAME, SearchFilter(recordings=(whose.recording.id,)))

        def by_speaker(tenant: Tenant, whose: Tenant) -> Iterable[object]:
            return self._hits(tenant, SAME, SearchFilter(speakers=(whose.canary,)))

        return {
            "search": Way(lambda tenant, _: self._hits(tenant, SAME)),
            "search recordings": Way(
                lambda tenant, _: self._search(tenant).recordings(SAME).recordings
            ),
            "search another's words": Way(lambda tenant, other: self._hits(tenant, other.canary)),
            "search in a recording": Way(lambda tenant, _: in_recording(tenant, tenant)),
            "search in another's recording": Way(in_recording),
            "search by a speaker": Way(lambda tenant, _: by_speaker(tenant, tenant)),
            "search by another's speaker": Way(by_speaker, names_other=True),
        }

    def _answers(self) -> dict[str, Way]:
        def turns(tenant: Tenant, whose: Tenant) -> Iterable[object]:
            return self._kept(tenant).turns(whose.keys["conversation"])

        def go_on(tenant: Tenant, whose: Tenant) -> Iterable[object]:
            return [self._ask(tenant)(SAME, conversation=whose.keys["conversation"])]

        def in_recording(tenant: Tenant, other: Tenant) -> Iterable[object]:
            return [self._ask(tenant)(SAME, filters=SearchFilter(recordings=(other.recording.id,)))]

        return {
            "answer": Way(lambda tenant, _: [self._ask(tenant)(SAME)]),
            "answer from another's recording": Way(in_recording),
            "answer in a conversation": Way(lambda tenant, _: go_on(tenant, tenant)),
            "answer in another's conversation": Way(go_on),
            "conversations": Way(lambda tenant, _: self._kept(tenant).summaries(_LIMIT)),
            "turns": Way(lambda tenant, _: turns(tenant, tenant)),
            "turns of another's": Way(turns),
        }

    def _search(self, tenant: Tenant) -> SearchService:
        return open_search(self._services, tenant.org)

    def _hits(
        self, tenant: Tenant, query: str, filters: SearchFilter = NO_FILTER
    ) -> Iterable[object]:
        found = self._search(tenant)(query, filters=filters, limit=_LIMIT)
        return [*found.hits, found.note]

    def _ask(self, tenant: Tenant) -> AnswerService:
        return AnswerService(self._services, self._search(tenant), ExtractiveAnswerer())

    def _kept(self, tenant: Tenant) -> ConversationHistory:
        return ConversationHistory(self._services, tenant.org)


def _commands() -> dict[str, Way]:
    """That look: at all that is there, at a recording, at a conversation."""
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
    for wanted in FORMATS:
        ways |= _own_and_foreign(f"transcript as {wanted}", ["transcript", "--as", wanted])

    def clip(tenant: Tenant, whose: Tenant) -> Iterator[object]:
        with TemporaryDirectory(dir=".") as folder:  # at home, which goes with all that is in it
            path = Path(folder) / "clip.opus"
            stretch = ("--from", "0", "--to", "0.5", "--output", str(path))
            yield from _run_command(tenant, "clip", whose.recording.id, *stretch)
            yield f"{path.stat().st_size} bytes"

    return ways | {
        "clip": Way(lambda tenant, _: clip(tenant, tenant), weight=_RARELY),
        "clip of another's": Way(clip),
    }


def _own_and_foreign(name: str, command: list[str]) -> dict[str, Way]:
    """A command about a recording: one's own, and another's."""

    def look(tenant: Tenant, whose: Tenant) -> Iterable[object]:
        return _run_command(tenant, *command, whose.recording.id)

    return {name: Way(lambda tenant, _: look(tenant, tenant)), f"{name} of another's": Way(look)}


def _run_command(tenant: Tenant, *arguments: str) -> Iterator[object]:
    """What a command says, and raises at the end."""
    done = CliRunner().invoke(playhead, [*arguments, "--org", tenant.org])
    yield from done.output.splitlines()
    if isinstance(done.exception, SystemExit):
        raise AssertionError(done.output)  # asked wrongly, by us
    if done.exception is not None:
        raise done.exception


def _notebook() -> dict[str, Way]:
    def of_all(tenant: Tenant, _other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as home:
            for frame in (home.recordings(), home.chunks(), home.words(), home.spend("recording")):
                yield from _rows(frame)

    def found(tenant: Tenant, _other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as home:
            yield from _rows(home.search(SAME))
            yield from _rows(home.ask(SAME))

    def words(tenant: Tenant, whose: Tenant) -> Iterator[object]:
        with Library(tenant.org) as home:
            yield from _rows(home.words(whose.recording.id))

    def chunks(tenant: Tenant, whose: Tenant) -> Iterator[object]:
        with Library(tenant.org) as home:
            yield from _rows(home.chunks(whose.recording.id))

    def go_on(tenant: Tenant, other: Tenant) -> Iterator[object]:
        with Library(tenant.org) as home:
            yield from _rows(home.ask(SAME, conversation=other.keys["conversation"]))

    return {
        "notebook of all": Way(of_all),
        "notebook search and answer": Way(found),
        "notebook words": Way(lambda tenant, _: words(tenant, tenant)),
        "notebook words of another's": Way(words),
        "notebook chunks": Way(lambda tenant, _: chunks(tenant, tenant)),
        "notebook chunks of another's": Way(chunks),
        "notebook answer in another's conversation": Way(go_on),
    }


def _rows(frame: pd.DataFrame) -> Iterator[object]:
    yield from frame.itertuples(index=False, name=None)
    yield frame.attrs
