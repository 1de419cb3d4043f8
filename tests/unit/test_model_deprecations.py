"""On a clock after the shutdown dates of models, no default names a model that has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from tests.support.servers import REPOSITORY
from tests.support.time_travel import environment_on

_DEFAULTS = """
from datetime import UTC, datetime
from playhead.engines.catalog import list_engines
from playhead.core.settings import Settings
today = datetime.now(UTC).date()
engines = list_engines(Settings(), today)
print(today, [engine.name for engine in engines if engine.chosen and engine.ended])
"""


def run_python_on(day: date, *arguments: str) -> str:
    """Return what Python prints when the clock shows this day."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PLAYHEAD_")
    }
    completed = subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "PYTHONPATH": str(REPOSITORY), **environment_on(day)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout


DAYS = [date(2026, 12, 12), date(2027, 2, 27), date(2027, 4, 2)]


@pytest.mark.parametrize("day", DAYS)
def test_default_engines_have_no_ended_model(day: date) -> None:
    assert run_python_on(day, "-c", _DEFAULTS).strip() == f"{day} []"


@pytest.mark.parametrize(
    ("day", "ended_model", "current_model"),
    [
        (DAYS[0], "gpt-5-nano", "whisper-1"),
        (DAYS[1], "whisper-1", "gpt-5.4-nano"),
        (DAYS[2], "gpt-5.4-nano", "gpt-transcribe"),
    ],
)
def test_engine_list_marks_models_that_have_ended(
    day: date, ended_model: str, current_model: str
) -> None:
    command = "from playhead.cli.main import main; main()"
    printed = run_python_on(day, "-c", command, "engines", "--json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    ended = {row["name"]: row["ended"] for row in rows}
    assert (ended[f"openai:{ended_model}"], ended[f"openai:{current_model}"]) == (True, False)
    assert (ended["minilm"], ended["openai:gpt-6-luna"]) == (False, False)
