"""What a person is told of money, stopped providers and doubted replies, and can do about them."""

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
def books(settings: Settings) -> Iterator[Database]:
    database = Database(str(settings.database_url))
    yield database
    database.close()


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command, as a person gives it."""
    monkeypatch.chdir(tmp_path)  # where no .env is
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(playhead, arguments)

    return run


def lines(result: click.testing.Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def doubted(books: Database, recording: Recording) -> None:
    """Two replies that nobody believes; 20 cents."""
    with (
        open_provider(books, INVALID, INVALID) as openai,
        call_context(errand_for(recording)),
        pytest.raises(InvalidProviderResponse),
    ):
        openai.call()


def stopped(books: Database) -> None:
    with (
        open_provider(books, error_answer(401, "invalid_api_key")) as openai,
        call_context(CallContext("default", "search")),
        pytest.raises(CircuitOpen),
    ):
        openai.call()


def errand_for(recording: Recording) -> CallContext:
    return CallContext("default", "document", {recording.id: 1.0})


def test_nothing_was_spent_where_no_provider_was_asked(run: Run) -> None:
    assert "Nothing was asked" in run("spend").output
    assert lines(run("spend", "--json")) == []


def test_money_is_shown_by_whatever_is_asked(run: Run, books: Database) -> None:
    recording = factories.add_recording(books)
    doubted(books, recording)
    for by, what in {
        "model": "openai m",
        "stage": "document",
        "organisation": "default",
        "recording": recording.id,
    }.items():
        [line] = lines(run("spend", "--by", by, "--json"))
        assert (line["what"], line["attempts"], line["failed"]) == (what, 2, 2)
        assert line["cost_usd"] == pytest.approx(0.2)
        assert what in run("spend", "--by", by).output
    assert lines(run("spend", "--since", "2999-01-01", "--json")) == []
    assert isinstance(run("spend", "--org", "other").exception, NotFound)
    run("orgs", "add", "other")
    assert lines(run("spend", "--org", "other", "--json")) == []


def test_a_doubted_reply_is_shown_as_it_came_and_let_go(run: Run, books: Database) -> None:
    recording = factories.add_recording(books)
    doubted(books, recording)
    [kept] = lines(run("quarantine", "--json"))
    assert kept["recordings"] == [recording.id]
    assert "It lies." in run("quarantine").output
    assert run("quarantine", "--show", str(kept["id"])).stdout_bytes == INVALID.body
    assert isinstance(run("quarantine", "--show", "999").exception, NotFound)
    run("orgs", "add", "other")
    assert isinstance(
        run("quarantine", "--show", str(kept["id"]), "--org", "other").exception, NotFound
    )
    assert run("quarantine", "--drop", str(kept["id"])).exit_code == 0
    assert lines(run("quarantine", "--json")) == []


def test_a_stopped_provider_is_told_until_it_is_resumed(run: Run, books: Database) -> None:
    stopped(books)
    [told] = lines(run("engines", "stopped", "--json"))
    assert (told["provider"], told["org_id"]) == ("openai", "default")
    assert "invalid_api_key" in run("engines", "stopped").output
    assert "openai is asked again" in run("engines", "resume", "openai").output
    assert "No provider is stopped" in run("engines", "stopped").output
    assert "was not stopped" in run("engines", "resume", "openai").output


def test_a_provider_nobody_described_cannot_be_resumed(run: Run) -> None:
    assert isinstance(run("engines", "resume", "nobody").exception, NotFound)


def test_the_doctor_names_a_stopped_provider_and_what_to_do(run: Run, books: Database) -> None:
    def finding() -> dict[str, Any]:
        told = click.testing.CliRunner().invoke(doctor, ["--json"]).output.splitlines()
        [found] = [row for row in map(json.loads, told) if row["check"] == "providers"]
        return dict(found)

    assert run("doctor", "--json").output
    assert finding()["ok"]
    stopped(books)
    assert not finding()["ok"]
    assert "engines resume openai" in finding()["remedy"]
