"""``playhead ask`` and ``playhead conversations``: what is printed, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from playhead.cli.main import playhead
from playhead.core.errors import NotFound
from playhead.core.settings import Settings
from tests.support.fake_answerers import Place, asked_place

ECHO = "To execute an echo test dial 600."
QUESTION = "How do I execute an echo test?"

Run = Callable[..., Result]


@pytest.fixture
def place(settings: Settings) -> Iterator[Place]:
    with asked_place(settings) as place:
        yield place


@pytest.fixture
def run(place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(playhead, arguments, catch_exceptions=False)

    return run


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_answer_is_printed_with_where_it_was_said_and_read_again(place: Place, run: Run) -> None:
    place.recording("Good morning.", ECHO, title="Menus")
    told = run("ask", QUESTION).stdout
    assert told.startswith(f"{ECHO} [1]\n")
    assert "[1] 00:00:01  Menus" in told
    assert "#t=1.00" in told
    conversation = told.split("--continue ")[1].split()[0]
    assert conversation in run("conversations").stdout
    again = run("conversations", conversation).stdout
    assert QUESTION in again
    assert f"{ECHO} [1]" in again
    assert "#t=1.00" in again


def test_what_is_not_there_is_a_normal_answer(place: Place, run: Run) -> None:
    place.recording(ECHO)
    for question in ("Who won the match?", ""):
        result = run("ask", question)
        assert result.exit_code == 0
        assert result.stdout.startswith("That is not in your recordings.\n")
        [value] = lines(run("ask", question, "--json"))
        assert (value["found"], value["sentences"]) == (False, [])


def test_a_stream_tells_each_sentence_and_then_the_whole(place: Place, run: Run) -> None:
    place.recording(ECHO)
    first, whole = lines(run("ask", QUESTION, "--stream", "--json"))
    assert first == {"sentence": whole["sentences"][0], "citations": whole["citations"]}
    assert run("ask", QUESTION, "--stream").stdout.count(f"{ECHO} [1]") == 1
    [turn] = lines(run("conversations", whole["conversation"], "--json"))
    assert turn["citations"][0]["state"] == "current"


def test_another_organisations_recording_or_conversation_is_not_found(
    place: Place, run: Run
) -> None:
    recording = place.recording(ECHO)
    [ours] = lines(run("ask", QUESTION, "--json"))
    for wrong in (
        ("ask", QUESTION, "--org", "theirs", "--recording", recording.id),
        ("ask", QUESTION, "--org", "theirs", "--continue", ours["conversation"]),
        ("conversations", ours["conversation"], "--org", "theirs"),
    ):
        with pytest.raises(NotFound):
            run(*wrong)
