"""The spend log: the cost of every attempt, and the parts that survive a deletion."""

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
from tests.support.provider_clients import AT_MOST, GOOD, INVALID, USED, open_provider
from tests.support.provider_error_table import error_answer

FAILED = error_answer(500)


@pytest.fixture(autouse=True)
def search_context() -> Iterator[None]:
    with call_context(CallContext("default", "search")):
        yield


def attempts(database: Database) -> list[DictRow]:
    return database.rows(b"select * from provider_attempts order by id")


def spent_today(database: Database) -> float:
    return Spend(database).spent_today("default")


def for_recordings(*recordings: Recording) -> CallContext:
    return CallContext("default", "document", {recording.id: 1.0 for recording in recordings})


def test_spend_of_a_deleted_recording_stays_without_its_id(database: Database) -> None:
    deleted, remaining = factories.add_recording(database), factories.add_recording(database)
    with open_provider(database, INVALID, INVALID, GOOD) as openai:
        with call_context(for_recordings(deleted, remaining)):
            with pytest.raises(InvalidProviderResponse):
                openai.call()
            openai.call()
        before = spent_today(database)
        by_recording = openai.state.spend.sums("recording", org_id="default", since=None)
        assert {row.what for row in by_recording} == {deleted.id, remaining.id}
        RecordingDeletion(database).delete([deleted.id])
        assert openai.state.quarantine.replies("default") == [], "it may quote either of them"
        after = openai.state.spend.sums("recording", org_id="default", since=None)
        assert {row.what for row in after} == {"", remaining.id}
        assert sum(row.cost_usd for row in after) == pytest.approx(before)
    assert spent_today(database) == before
    assert deleted.id not in str(attempts(database))


def test_deleted_recording_starts_no_provider_call(database: Database) -> None:
    deleted = factories.add_recording(database)
    RecordingDeletion(database).delete([deleted.id])
    with open_provider(database) as openai, call_context(for_recordings(deleted)):
        with pytest.raises(RecordingDeleted):
            openai.call()
        assert openai.script.request_count == 0


def test_spend_is_shared_by_weight(database: Database) -> None:
    recording, other = factories.add_recording(database), factories.add_recording(database)
    with open_provider(database) as openai:
        with call_context(
            CallContext("default", "embeddings", {recording.id: 300.0, other.id: 100.0})
        ):
            openai.call()
        sums = openai.state.spend.sums("recording", org_id="default", since=None)
    by_id = {found.what: found.cost_usd for found in sums}
    assert by_id[recording.id] == pytest.approx(3 * by_id[other.id])


def test_spend_is_summed_by_day_model_stage_and_organisation(database: Database) -> None:
    with open_provider(database, FAILED) as openai:
        openai.call()
        with call_context(CallContext("other", "document")):
            openai.call()
        spend = openai.state.spend
        today = datetime.now(UTC).date().isoformat()
        for by, expected in {
            "day": [(today, 3, 1)],
            "model": [("openai m", 3, 1)],
            "stage": [("document", 1, 0), ("search", 2, 1)],
            "organisation": [("default", 2, 1), ("other", 1, 0)],
        }.items():
            sums = spend.sums(by, org_id=None, since=None)  # type: ignore[arg-type]
            assert [(row.what, row.attempts, row.failed) for row in sums] == expected
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert spend.sums("day", org_id=None, since=tomorrow) == []
        [default] = spend.sums("day", org_id="default", since=None)
        assert default.cost_usd == 0.15


def test_quarantined_reply_is_truncated(database: Database) -> None:
    with open_provider(database) as openai:
        openai.call()
        [row] = attempts(database)
        openai.state.quarantine.add("default", row["id"], reason="endless", reply=b"x" * (3 << 20))
        [stored_reply] = openai.state.quarantine.replies("default")
    assert stored_reply.bytes == 1 << 20


def test_attempt_has_failed_only_after_it_expired(
    database: Database,
) -> None:
    with open_provider(database) as openai:
        seen: list[int] = []

        def send() -> Reply[str]:
            for offset in (b"1 hour", b"-1 hour"):
                database.run(
                    b"update provider_attempts set expires_at = now() + interval '" + offset + b"'"
                )
                [today] = openai.state.spend.sums("day", org_id=None, since=None)
                seen.append(today.failed)
            return Reply("a", USED)

        openai.provider_client.execute(ProviderCall("chat", "m", AT_MOST, send))
    assert seen == [0, 1]


def test_quarantined_reply_is_covered_by_the_residue_scan(database: Database) -> None:
    with (
        open_provider(database, INVALID, INVALID) as openai,
        pytest.raises(InvalidProviderResponse),
    ):
        openai.call()
    report = ScanReport()
    scan_database(report, database.url, ["a lie"])
    assert [place.split(": ")[1] for place in report.found] == ["quarantine.reply"]
