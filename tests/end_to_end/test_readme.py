"""The documents are correct: commands, settings, links and printed examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command, Group

from docs.generate import variable_name
from playhead.cli.main import playhead
from playhead.core.settings import Settings

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text("utf-8")
_PAGES = sorted((_ROOT / "docs").rglob("*.md"))
_COMMANDS = dict(playhead.commands)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment with an empty home."""
    return os.environ | {
        "PLAYHEAD_HOME": str(tmp_path_factory.mktemp("demo")),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SPEECH": "tests/fixtures/speech",
    }


@pytest.fixture(scope="module")
def demo(environment: dict[str, str]) -> tuple[str, str]:
    """Return the output of the first and the second ``make demo``."""
    return run(environment, "sh", "docs/demo.sh"), run(environment, "sh", "docs/demo.sh")


def run(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(
        command,
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout


def normalize(output: str) -> list[str]:
    """Return the lines from the list on, without ids, dates and paths."""
    tail = output[output.index("== playhead list") :]
    tail = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", tail)
    tail = re.sub(r"\b\d{4}-\d{2}-\d{2}-([a-z0-9-]+)-[0-9a-f]{8}\b", r"DATE-\1-ID", tail)
    tail = re.sub(r"file://\S*#", "file://#", tail)
    return [" ".join(line.split()) for line in tail.splitlines() if line.strip()]


@pytest.mark.slow
def test_demo_prints_the_output_in_the_readme(demo: tuple[str, str]) -> None:
    example = re.search(r"compares -->\n```text\n(.*?)```", _README, re.DOTALL)
    assert example is not None
    printed = iter(normalize(demo[0]))
    missing = [line for line in normalize(example[1]) if line not in printed]  # same order
    assert missing == []


@pytest.mark.slow
def test_second_demo_runs_no_model(demo: tuple[str, str]) -> None:
    first, second = demo
    assert "9 of 9 ready" in first
    assert second.count("(already here)") == 9
    assert "0 of 0 ready" in second
    assert normalize(second) == normalize(first)


@pytest.mark.slow
def test_japanese_speech_is_found_in_japanese(
    demo: tuple[str, str], environment: dict[str, str]
) -> None:
    # The transcript differs a little between processors.
    output = run(environment, "playhead", "search", "キャンプの外れの電柱", "--json")
    hit = json.loads(output.splitlines()[0])
    assert "キャンプの外れの" in hit["text"]
    assert hit["title"] == "Common Voice"
    assert hit["start_seconds"] == pytest.approx(0.8, abs=0.5)


def test_commands_in_the_documents_exist() -> None:
    for document in [_README, *(path.read_text("utf-8") for path in _PAGES)]:
        for block in re.findall(r"```sh\n(.*?)```", document, re.DOTALL):
            for line in block.splitlines():
                if match := re.match(r"playhead (\w+)(.*)", line):
                    assert_valid_usage(_COMMANDS[match[1]], match[2].partition("#")[0])


def assert_valid_usage(command: Command, arguments: str) -> None:
    while isinstance(command, Group) and re.match(r"\s*\w", arguments):
        name, _, arguments = arguments.strip().partition(" ")
        command = command.commands[name]
    options = {name for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"--[\w-]+", arguments)) <= options


def test_settings_are_in_the_example() -> None:
    example = (_ROOT / ".env.example").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        assert re.search(rf"^#{variable_name(name, field)}=", example, re.MULTILINE)


@pytest.mark.parametrize(
    "page", [_ROOT / "README.md", *_PAGES], ids=lambda page: str(page.relative_to(_ROOT))
)
def test_files_linked_in_the_documents_exist(page: Path) -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (_ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^make (\w+)", _README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
