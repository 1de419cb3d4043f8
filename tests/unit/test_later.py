"""The suite's clock moved on: past the ends of models, nothing of ours names a dead one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from tests.support.servers import REPOSITORY
from tests.support.time_travel import moved_to

_DEFAULTS = """
from datetime import UTC, datetime
from playhead.engines.catalog import list_engines
from playhead.core.settings import Settings
today = datetime.now(UTC).date()
print(today, [one.name for one in list_engines(Settings(), today) if one.chosen and one.ended])
"""


def later(day: date, *arguments: str) -> str:
    """What Python prints that believes it is this day."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PLAYHEAD_")
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "PYTHONPATH": str(REPOSITORY), **moved_to(day)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


DAYS = [date(2026, 12, 12), date(2027, 2, 27), date(2027, 4, 2)]


@pytest.mark.parametrize("day", DAYS)
def test_no_default_names_a_dead_model(day: date) -> None:
    assert later(day, "-c", _DEFAULTS).strip() == f"{day} []"


@pytest.mark.parametrize(
    ("day", "dead", "alive"),
    [
        (DAYS[0], "gpt-5-nano", "whisper-1"),
        (DAYS[1], "whisper-1", "gpt-5.4-nano"),
        (DAYS[2], "gpt-5.4-nano", "gpt-transcribe"),
    ],
)
def test_the_list_of_engines_marks_what_ended_by_then(day: date, dead: str, alive: str) -> None:
    command = "from playhead.cli.main import main; main()"
    printed = later(day, "-c", command, "engines", "--json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    ended = {row["name"]: row["ended"] for row in rows}
    assert (ended[f"openai:{dead}"], ended[f"openai:{alive}"]) == (True, False)
    assert (ended["minilm"], ended["openai:gpt-6-luna"]) == (False, False)
