"""``playhead ask`` and ``playhead conversations``: output and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from playhead.cli.main import playhead
from playhead.core.errors import NotFound
from playhead.core.settings import Settings
from tests.support.fake_answerers import AnswerLibrary, open_answer_library

ECHO = "To execute an echo test dial 600."
QUESTION = "How do I execute an echo test?"

Run = Callable[..., Result]


@pytest.fixture
def library(settings: Settings) -> Iterator[AnswerLibrary]:
    with open_answer_library(settings) as library:
        yield library


@pytest.fixture
def run(library: AnswerLibrary, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(playhead, arguments, catch_exceptions=False)

    return run


def parse_lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_answer_is_printed_with_times_and_can_be_read_again(
    library: AnswerLibrary, run: Run
) -> None:
    library.add("Good morning.", ECHO, title="Menus")
    output = run("ask", QUESTION).stdout
    assert output.startswith(f"{ECHO} [1]\n")
    assert "[1] 00:00:01  Menus" in output
    assert "#t=1.00" in output
    conversation = output.split("--continue ")[1].split()[0]
    assert conversation in run("conversations").stdout
    again = run("conversations", conversation).stdout
    assert QUESTION in again
    assert f"{ECHO} [1]" in again
    assert "#t=1.00" in again


def test_answer_not_found_exits_zero(library: AnswerLibrary, run: Run) -> None:
    library.add(ECHO)
    for question in ("Who won the match?", ""):
        result = run("ask", question)
        assert result.exit_code == 0
        assert result.stdout.startswith("That is not in your recordings.\n")
        [value] = parse_lines(run("ask", question, "--json"))
        assert (value["found"], value["sentences"]) == (False, [])


def test_stream_prints_each_sentence_and_then_the_answer(library: AnswerLibrary, run: Run) -> None:
    library.add(ECHO)
    first, answer = parse_lines(run("ask", QUESTION, "--stream", "--json"))
    assert first == {"sentence": answer["sentences"][0], "citations": answer["citations"]}
    assert run("ask", QUESTION, "--stream").stdout.count(f"{ECHO} [1]") == 1
    [turn] = parse_lines(run("conversations", answer["conversation"], "--json"))
    assert turn["citations"][0]["state"] == "current"


def test_recording_or_conversation_of_another_organisation_is_not_found(
    library: AnswerLibrary, run: Run
) -> None:
    recording = library.add(ECHO)
    [ours] = parse_lines(run("ask", QUESTION, "--json"))
    for wrong in (
        ("ask", QUESTION, "--org", "theirs", "--recording", recording.id),
        ("ask", QUESTION, "--org", "theirs", "--continue", ours["conversation"]),
        ("conversations", ours["conversation"], "--org", "theirs"),
    ):
        with pytest.raises(NotFound):
            run(*wrong)
