"""The books: what every attempt cost, for whom, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.rows import DictRow

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import (
    InvalidProviderResponse,
    RecordingDeleted,
)
from playhead.core.records import Recording
from playhead.postgres.database import Database
from playhead.postgres.deletion.residue_scan import ScanReport, scan_database
from playhead.postgres.deletion.rows import RecordingDeletion
from playhead.postgres.provider_use.spend import Spend
from playhead.providers.client_protocol import ProviderCall, Reply
from tests.support import factories
from tests.support.provider_clients import AT_MOST, GOOD, LIE, USED, provider
from tests.support.provider_error_table import error

FAILED = error(500)


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    with call_context(CallContext("default", "search")):
        yield


def attempts(database: Database) -> list[DictRow]:
    return database.rows(b"select * from provider_attempts order by id")


def spent_today(database: Database) -> float:
    return Spend(database).spent_today("default")


def for_recordings(*recordings: Recording) -> CallContext:
    return CallContext("default", "document", {one.id: 1.0 for one in recordings})


def test_a_forgotten_recordings_money_stays_and_nothing_else(database: Database) -> None:
    gone, stays = factories.registered(database), factories.registered(database)
    with provider(database, LIE, LIE, GOOD) as openai:
        with call_context(for_recordings(gone, stays)):
            with pytest.raises(InvalidProviderResponse):
                openai.ask()
            openai.ask()
        before = spent_today(database)
        by_recording = openai.books.spend.sums("recording", org_id="default", since=None)
        assert {one.what for one in by_recording} == {gone.id, stays.id}
        RecordingDeletion(database).delete([gone.id])
        assert openai.books.quarantine.replies("default") == [], "it may quote either of them"
        after = openai.books.spend.sums("recording", org_id="default", since=None)
        assert {one.what for one in after} == {"", stays.id}
        assert sum(one.cost_usd for one in after) == pytest.approx(before)
    assert spent_today(database) == before
    assert gone.id not in str(attempts(database))


def test_no_attempt_is_made_for_a_recording_that_was_forgotten(database: Database) -> None:
    gone = factories.registered(database)
    RecordingDeletion(database).delete([gone.id])
    with provider(database) as openai, call_context(for_recordings(gone)):
        with pytest.raises(RecordingDeleted):
            openai.ask()
        assert openai.script.asked == 0


def test_money_is_shared_by_weight(database: Database) -> None:
    one, other = factories.registered(database), factories.registered(database)
    with provider(database) as openai:
        with call_context(CallContext("default", "embeddings", {one.id: 300.0, other.id: 100.0})):
            openai.ask()
        sums = openai.books.spend.sums("recording", org_id="default", since=None)
    by_id = {found.what: found.cost_usd for found in sums}
    assert by_id[one.id] == pytest.approx(3 * by_id[other.id])


def test_money_is_told_by_day_model_stage_and_organisation(database: Database) -> None:
    with provider(database, FAILED) as openai:
        openai.ask()
        with call_context(CallContext("other", "document")):
            openai.ask()
        spend = openai.books.spend
        today = datetime.now(UTC).date().isoformat()
        for by, expected in {
            "day": [(today, 3, 1)],
            "model": [("openai m", 3, 1)],
            "stage": [("document", 1, 0), ("search", 2, 1)],
            "organisation": [("default", 2, 1), ("other", 1, 0)],
        }.items():
            sums = spend.sums(by, org_id=None, since=None)  # type: ignore[arg-type]
            assert [(one.what, one.attempts, one.failed) for one in sums] == expected
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert spend.sums("day", org_id=None, since=tomorrow) == []
        [default] = spend.sums("day", org_id="default", since=None)
        assert default.cost_usd == 0.15


def test_a_reply_without_end_is_kept_in_part(database: Database) -> None:
    with provider(database) as openai:
        openai.ask()
        [row] = attempts(database)
        openai.books.quarantine.add("default", row["id"], reason="endless", reply=b"x" * (3 << 20))
        [kept] = openai.books.quarantine.replies("default")
    assert kept.bytes == 1 << 20


def test_an_attempt_under_way_has_not_failed_and_one_whose_worker_died_has(
    database: Database,
) -> None:
    with provider(database) as openai:
        seen: list[int] = []

        def send() -> Reply[str]:
            for lapsed in (b"1 hour", b"-1 hour"):
                database.run(
                    b"update provider_attempts set lapses_at = now() + interval '" + lapsed + b"'"
                )
                [today] = openai.books.spend.sums("day", org_id=None, since=None)
                seen.append(today.failed)
            return Reply("a", USED)

        openai.provider_client.execute(ProviderCall("chat", "m", AT_MOST, send))
    assert seen == [0, 1]


def test_a_word_in_a_doubted_reply_is_found_by_whoever_looks_for_it(database: Database) -> None:
    with provider(database, LIE, LIE) as openai, pytest.raises(InvalidProviderResponse):
        openai.ask()
    look = ScanReport()
    scan_database(look, database.url, ["a lie"])
    assert [place.split(": ")[1] for place in look.found] == ["quarantine.reply"]
