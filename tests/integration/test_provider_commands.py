"""Commands about spend, stopped providers and quarantined replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from playhead.cli.doctor import doctor
from playhead.cli.main import playhead
from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import CircuitOpen, InvalidProviderResponse, NotFound
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.postgres.database import Database
from tests.support import factories
from tests.support.provider_clients import INVALID, open_provider
from tests.support.provider_error_table import error_answer

Run = Callable[..., click.testing.Result]


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(str(settings.database_url))
    yield database
    database.close()


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command."""
    monkeypatch.chdir(tmp_path)  # a folder without .env
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(playhead, arguments)

    return run


def parse_lines(result: click.testing.Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def add_quarantined_reply(database: Database, recording: Recording) -> None:
    """Call a provider that sends two invalid replies, for 20 cents."""
    with (
        open_provider(database, INVALID, INVALID) as openai,
        call_context(context_for(recording)),
        pytest.raises(InvalidProviderResponse),
    ):
        openai.call()


def stop_provider(database: Database) -> None:
    with (
        open_provider(database, error_answer(401, "invalid_api_key")) as openai,
        call_context(CallContext("default", "search")),
        pytest.raises(CircuitOpen),
    ):
        openai.call()


def context_for(recording: Recording) -> CallContext:
    return CallContext("default", "document", {recording.id: 1.0})


def test_spend_is_empty_without_provider_calls(run: Run) -> None:
    assert "No provider requests yet" in run("spend").output
    assert parse_lines(run("spend", "--json")) == []


def test_spend_is_grouped_by_any_dimension(run: Run, database: Database) -> None:
    recording = factories.add_recording(database)
    add_quarantined_reply(database, recording)
    for by, label in {
        "model": "openai m",
        "stage": "document",
        "organisation": "default",
        "recording": recording.id,
    }.items():
        [line] = parse_lines(run("spend", "--by", by, "--json"))
        assert (line["what"], line["attempts"], line["failed"]) == (label, 2, 2)
        assert line["cost_usd"] == pytest.approx(0.2)
        assert label in run("spend", "--by", by).output
    assert parse_lines(run("spend", "--since", "2999-01-01", "--json")) == []
    assert isinstance(run("spend", "--org", "other").exception, NotFound)
    run("orgs", "add", "other")
    assert parse_lines(run("spend", "--org", "other", "--json")) == []


def test_quarantined_reply_is_shown_and_deleted(run: Run, database: Database) -> None:
    recording = factories.add_recording(database)
    add_quarantined_reply(database, recording)
    [reply] = parse_lines(run("quarantine", "--json"))
    assert reply["recordings"] == [recording.id]
    assert "It lies." in run("quarantine").output
    assert run("quarantine", "--show", str(reply["id"])).stdout_bytes == INVALID.body
    assert isinstance(run("quarantine", "--show", "999").exception, NotFound)
    run("orgs", "add", "other")
    assert isinstance(
        run("quarantine", "--show", str(reply["id"]), "--org", "other").exception, NotFound
    )
    assert run("quarantine", "--drop", str(reply["id"])).exit_code == 0
    assert parse_lines(run("quarantine", "--json")) == []


def test_stopped_provider_is_listed_until_resumed(run: Run, database: Database) -> None:
    stop_provider(database)
    [row] = parse_lines(run("engines", "stopped", "--json"))
    assert (row["provider"], row["org_id"]) == ("openai", "default")
    assert "invalid_api_key" in run("engines", "stopped").output
    assert "Resumed openai; requeued" in run("engines", "resume", "openai").output
    assert "No provider is stopped" in run("engines", "stopped").output
    assert "was not stopped" in run("engines", "resume", "openai").output


def test_unknown_provider_cannot_be_resumed(run: Run) -> None:
    assert isinstance(run("engines", "resume", "nobody").exception, NotFound)


def test_doctor_reports_a_stopped_provider_with_a_remedy(run: Run, database: Database) -> None:
    def provider_check() -> dict[str, Any]:
        output_lines = click.testing.CliRunner().invoke(doctor, ["--json"]).output.splitlines()
        [found] = [line for line in map(json.loads, output_lines) if line["check"] == "providers"]
        return dict(found)

    assert run("doctor", "--json").output
    assert provider_check()["ok"]
    stop_provider(database)
    assert not provider_check()["ok"]
    assert "engines resume openai" in provider_check()["remedy"]
