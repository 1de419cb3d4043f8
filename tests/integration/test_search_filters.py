"""Search filters in both legs, isolation of organisations, and unusual queries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from click.testing import CliRunner

from playhead.cli.search import search as search_command
from playhead.core.errors import InvalidQuery, NotFound
from playhead.core.records import Recording, SearchFilter
from playhead.media.local_store import LocalStore
from playhead.postgres.database import Database, set_org
from playhead.postgres.pipeline.recordings import new_recording_id
from tests.support.search_fixtures import SearchLibrary, make_chunk

NOW = datetime.now(UTC)


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[SearchLibrary]:
    library = SearchLibrary(database, LocalStore(tmp_path))
    yield library
    library.results.close()


@pytest.fixture(scope="module")
def shared(
    fresh_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchLibrary]:
    """Yield a library for tests that only read; see ``amber_lecture``."""
    database = Database(fresh_database())
    library = SearchLibrary(database, LocalStore(tmp_path_factory.mktemp("media")))
    yield library
    library.results.close()
    database.close()


@pytest.fixture(scope="module")
def amber_lecture(shared: SearchLibrary) -> Recording:
    """Return a recording that says amber three times in a minute and writes it once.

    Other recordings, also of another organisation, say it too.
    """
    for number in range(3):
        shared.add(
            make_chunk("amber elsewhere", speaker="SPEAKER_1"), kind="meeting", language="fr"
        )
        shared.add(f"amber there {number}", kind="podcast", language="ja")
    shared.add("The quokka smiles.", kind="page")
    shared.add(
        make_chunk("amber of theirs", speaker="Their Own"),
        kind="lecture",
        language="it",
        org_id="theirs",
    )
    recording = shared.add(
        make_chunk("amber first", 0, seconds=(0.0, 10.0), speaker="SPEAKER_0"),
        make_chunk("amber second", 2, seconds=(20.0, 30.0), speaker="Grace"),
        make_chunk("amber third", 4, seconds=(40.0, 50.0)),
        written=[make_chunk("amber written", 0, source="document", seconds=(60.0, 70.0))],
        kind="lecture",
        language="de",
    )
    shared.database.run(
        b"update recordings set created_at = created_at - interval '9 days' where id = %(id)s",
        id=recording.id,
    )
    shared.database.run(
        b"insert into speaker_names values ('default', %(id)s, 'SPEAKER_0', 'Ada Lovelace')",
        id=recording.id,
    )
    return recording


ALL_TEXTS = {"amber first", "amber second", "amber third", "amber written"}


@pytest.mark.parametrize("question", ["amber", "birch"])  # by both legs; by meaning alone
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (SearchFilter(kinds=("lecture",)), ALL_TEXTS),
        (SearchFilter(kinds=("lecture", "book")), ALL_TEXTS),
        (SearchFilter(kinds=("book",)), set()),
        (SearchFilter(speakers=("ada lovelace",)), {"amber first"}),
        (SearchFilter(speakers=("SPEAKER_0", "grace")), {"amber first", "amber second"}),
        (SearchFilter(languages=("de",)), ALL_TEXTS),
        (SearchFilter(languages=("de",), source="document"), {"amber written"}),
        (SearchFilter(kinds=("lecture",), source="transcript"), ALL_TEXTS - {"amber written"}),
        (SearchFilter(until=NOW - timedelta(days=5)), ALL_TEXTS),
        (SearchFilter(since=NOW - timedelta(days=10), until=NOW - timedelta(days=8)), ALL_TEXTS),
        (SearchFilter(since=NOW - timedelta(days=5), kinds=("lecture",)), set()),
        (SearchFilter(kinds=("lecture",), from_seconds=30.0), {"amber third", "amber written"}),
        (SearchFilter(kinds=("lecture",), to_seconds=20.0), {"amber first"}),
        (
            SearchFilter(languages=("de",), from_seconds=29.5, to_seconds=40.5),
            {"amber second", "amber third"},
        ),
    ],
)
def test_filter_limits_the_hits(
    shared: SearchLibrary,
    amber_lecture: Recording,
    question: str,
    filters: SearchFilter,
    expected: set[str],
) -> None:
    hits = shared.search()(question, filters=filters).hits
    assert {hit.text for hit in hits} == expected
    assert {hit.recording for hit in hits} <= {amber_lecture.id}


def test_filter_by_recording_finds_all_its_chunks(
    shared: SearchLibrary, amber_lecture: Recording
) -> None:
    hits = shared.search()(
        "amber", filters=SearchFilter(recordings=(amber_lecture.id.upper(),))
    ).hits
    assert {hit.text for hit in hits} == ALL_TEXTS


def test_filter_by_language_uses_the_transcripts_language(
    library: SearchLibrary,
) -> None:
    library.add("amber", language="ja")
    chinese = library.add("amber", language="zh")
    hits = library.search()("amber", filters=SearchFilter(languages=("zh",))).hits
    assert [hit.recording for hit in hits] == [chinese.id]


def test_filter_for_many_recordings_equals_one_for_few(
    library: SearchLibrary, database: Database
) -> None:
    library.add("amber", kind="meeting")
    lectures = {library.add(f"amber {n}", kind="lecture").id for n in range(2)}
    filters = SearchFilter(kinds=("lecture",))
    assert {hit.recording for hit in library.search()("amber", filters=filters).hits} == lectures
    row = database.row(b"select pg_get_functiondef('resolve_filter'::regproc) as made")
    assert row is not None
    assert ":= 1000;" in row["made"]
    database.run(row["made"].replace(":= 1000;", ":= 0;").replace("%", "%%").encode())
    assert {hit.recording for hit in library.search()("amber", filters=filters).hits} == lectures


# Unknown filter values


@pytest.mark.parametrize(
    "filters",
    [
        SearchFilter(recordings=("no-such-recording",)),
        SearchFilter(recordings=("01a20126-2c76-75ee-a0d8-85f69dacc231",)),
        SearchFilter(recordings=("urn:uuid:01a20126-2c76-75ee-a0d8-85f69dacc231",)),
        SearchFilter(speakers=("nobody",)),
        SearchFilter(speakers=("a\x00b",)),
        SearchFilter(languages=("xx",)),
    ],
)
def test_filter_with_an_unknown_value_is_reported(
    shared: SearchLibrary, amber_lecture: Recording, filters: SearchFilter
) -> None:
    with pytest.raises(NotFound, match="No such"):
        shared.search()("amber", filters=filters)


def test_filter_with_foreign_values_gives_the_same_error_as_unknown_ones(
    shared: SearchLibrary, amber_lecture: Recording
) -> None:
    def refusal_message(filters: SearchFilter) -> str:
        with pytest.raises(NotFound) as refusal:
            shared.search()("amber", filters=filters)
        return f"{refusal.value} {refusal.value.remedy}"

    [foreign] = [hit.recording for hit in shared.search("theirs")("amber").hits]
    unknown = new_recording_id()
    message = refusal_message(SearchFilter(recordings=(foreign,))).replace(foreign, unknown)
    assert message == refusal_message(SearchFilter(recordings=(unknown,)))
    assert "Their Own" in refusal_message(SearchFilter(speakers=("Their Own",)))
    assert "it" in refusal_message(SearchFilter(languages=("it",)))


def test_search_without_a_query_or_filter_finds_only_own_recordings(library: SearchLibrary) -> None:
    library.add(*(f"amber {n}" for n in range(70)), kind="lecture", org_id="theirs")
    ours = library.add("amber ours", "birch", kind="lecture")
    for filters in (
        SearchFilter(),
        SearchFilter(kinds=("lecture",)),
        SearchFilter(to_seconds=1e9),
    ):
        for limit in (1, 1000):
            found = library.search()("amber", filters=filters, limit=limit)
            assert {hit.recording for hit in found.hits} == {ours.id}
    recordings_found = library.search("theirs").recordings("amber ours birch", limit=1000)
    assert ours.id not in {result.recording for result in recordings_found.recordings}
    assert library.search("nobodys")("amber").hits == []


@pytest.mark.parametrize(
    "leg",
    [
        "select * from search_text(1, 'amber', null, 10)",
        "select * from nearest(1, array_fill(1, array[64])::vector, null, 10)",
    ],
)
def test_search_function_needs_an_organisation(
    library: SearchLibrary, database: Database, leg: str
) -> None:
    library.add("amber")
    with pytest.raises(psycopg.Error, match="no organisation"):
        database.rows(leg.encode())


def test_text_search_uses_its_index_under_the_application_role(
    library: SearchLibrary, database: Database
) -> None:
    library.add(*(f"common rare{n}" for n in range(500)))
    database.run(b"vacuum analyze chunks, embeddings")
    scans = b"select pg_stat_get_xact_numscans('chunks_words'::regclass) as scans"
    with database.transaction() as connection:
        # With so few pages a sequential scan is as fast, so it is disabled.
        connection.execute(b"set local enable_seqscan = off")
        connection.execute(b"set local enable_indexscan = off")
        before = connection.execute(scans).fetchall()
        set_org(connection, "default", "playhead_app")
        leg = b"select * from search_text(%(set)s, 'rare7', null, 10)"
        assert len(connection.execute(leg, {"set": library.set_id}).fetchall()) == 1
        assert connection.execute(scans).fetchall() != before


# Unusual queries

HOSTILE = [
    "quokka",
    "Quokka?!",
    "Wo ist das Quokka, bitte? quokka",
    "quokka'; drop table recordings; --",
    "quokka & !b | (c:* <-> \\ 'd",
    "\x00quokka\x00",
    "quokka \ud800",
    "🦘 quokka 🦘",
    "שלום quokka مرحبا \u202e",
    "%s %(limit)s {} quokka $1 :name",
    f"quokka {'x' * 5000}",
    "quokka " + " ".join(f"word{n}" for n in range(10_000)),
    "quokka," + ",".join(f"word{n}" for n in range(10_000)),
]


@pytest.mark.parametrize("question", HOSTILE)
def test_search_accepts_any_query(
    shared: SearchLibrary, amber_lecture: Recording, question: str
) -> None:
    found = shared.search()(question)
    assert ("quokka",) in [hit.words for hit in found.hits]
    assert (found.note is not None) == ("word9999" in question)
    assert len(found.hits) == 10
    assert [hit.text for hit in shared.search()(question, limit=1).hits] == [found.hits[0].text]
    assert len(shared.search()(question, limit=1000).hits) == 11


@pytest.mark.parametrize("question", ["🦘🦘", "the of and", "عربي", "?!", "\x00"])
def test_search_without_known_words_uses_vectors(
    shared: SearchLibrary, amber_lecture: Recording, question: str
) -> None:
    hits = shared.search()(question).hits
    assert [set(hit.matched) for hit in hits] == [{"vector"}] * 10


@pytest.mark.parametrize("question", ["", " \n\t", "\u3000"])
def test_search_with_an_empty_query_is_rejected(shared: SearchLibrary, question: str) -> None:
    with pytest.raises(InvalidQuery, match="empty"):
        shared.search()(question)


@pytest.mark.parametrize(
    ("filters", "limit"),
    [
        (SearchFilter(), 0),
        (SearchFilter(), 1001),
        (SearchFilter(since=NOW, until=NOW), 10),
        (SearchFilter(from_seconds=9.0, to_seconds=1.0), 10),
        (SearchFilter(kinds=cast("Any", ("song",))), 10),
        (SearchFilter(source=cast("Any", "margin")), 10),
    ],
)
def test_search_with_contradicting_options_is_rejected(
    shared: SearchLibrary, filters: SearchFilter, limit: int
) -> None:
    with pytest.raises(InvalidQuery):
        shared.search()("amber", filters=filters, limit=limit)


# The command


Run = Callable[..., list[Any]]


@pytest.fixture
def run(shared: SearchLibrary, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command with ``--json`` and returns its values."""
    monkeypatch.setenv("DATABASE_URL", shared.database.url)
    monkeypatch.setenv("PLAYHEAD_EMBEDDER", "stub")

    def run(*arguments: str) -> list[Any]:
        result = CliRunner().invoke(search_command, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


def test_search_command_has_an_option_per_filter(run: Run, amber_lecture: Recording) -> None:
    week = (NOW - timedelta(days=5)).strftime("%Y-%m-%d")
    month = (NOW - timedelta(days=30)).strftime("%Y-%m-%d")
    options = {
        ("--kind", "lecture", "--kind", "book"): ALL_TEXTS,
        ("--recording", amber_lecture.id): ALL_TEXTS,
        ("--speaker", "Ada Lovelace", "--speaker", "Grace"): {"amber first", "amber second"},
        ("--language", "de", "--source", "document"): {"amber written"},
        ("--since", month, "--until", week): ALL_TEXTS,
        ("--kind", "lecture", "--from", "0:15", "--to", "00:00:39.5"): {"amber second"},
    }
    for options_, expected in options.items():
        assert {hit["text"] for hit in run("amber", *options_)} == expected, options_
    [result] = run("amber", "--recordings", "--kind", "lecture")
    assert (result["recording"], len(result["hits"])) == (amber_lecture.id, 3)


def test_search_command_highlights_the_words(
    run: Run, amber_lecture: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = CliRunner().invoke(search_command, ["ambers first", "--limit", "1"], color=True)
    assert "“\x1b[1mamber\x1b[0m \x1b[1mfirst\x1b[0m”" in result.stdout
    assert "Ada Lovelace" in result.stdout
    recordings_found = CliRunner().invoke(search_command, ["first", "--recordings", "--limit", "1"])
    assert amber_lecture.partition_key in recordings_found.stdout


def test_search_command_rejects_invalid_times() -> None:
    for time in ("soon", "1:2:3:4", "-1", "nan"):
        result = CliRunner().invoke(search_command, ["amber", "--from", time])
        assert result.exit_code == 2
