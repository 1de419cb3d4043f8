"""The documents are true: what they show was printed by what they name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command, Group

from playhead.cli.main import playhead
from playhead.core.settings import Settings

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text("utf-8")
_COMMANDS = dict(playhead.commands)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An empty home."""
    return os.environ | {
        "PLAYHEAD_HOME": str(tmp_path_factory.mktemp("demo")),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SPEECH": "tests/fixtures/speech",
    }


@pytest.fixture(scope="module")
def demo(environment: dict[str, str]) -> tuple[str, str]:
    """What ``make demo`` prints there, the first time and the second."""
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


def plain(output: str) -> list[str]:
    """The lines from the list on, without what differs between two machines: ids and paths."""
    tail = output[output.index("== playhead list") :]
    tail = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", tail)
    tail = re.sub(r"file://\S*#", "file://#", tail)
    return [" ".join(line.split()) for line in tail.splitlines() if line.strip()]


def test_the_demo_prints_what_the_readme_shows(demo: tuple[str, str]) -> None:
    shown = re.search(r"compares -->\n```text\n(.*?)```", _README, re.DOTALL)
    assert shown is not None
    assert plain(demo[0]) == plain(shown[1])


def test_a_second_demo_does_no_model_work(demo: tuple[str, str]) -> None:
    first, second = demo
    assert "9 of 9 ready" in first
    assert second.count("(already here)") == 9
    assert "0 of 0 ready" in second
    assert plain(second) == plain(first)


def test_what_was_said_in_japanese_is_found_in_japanese(
    demo: tuple[str, str], environment: dict[str, str]
) -> None:
    # What the engine hears of it differs a little from processor to processor.
    told = run(environment, "playhead", "search", "キャンプの外れの電柱", "--json")
    hit = json.loads(told.splitlines()[0])
    assert "キャンプの外れの" in hit["text"]
    assert hit["title"] == "Common Voice"
    assert hit["start_seconds"] == pytest.approx(0.8, abs=0.5)


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"playhead {name}\b", _README)


def test_every_command_the_documents_show_is_real() -> None:
    documents = [_README, *(path.read_text("utf-8") for path in (_ROOT / "docs").rglob("*.md"))]
    for document in documents:
        for block in re.findall(r"```sh\n(.*?)```", document, re.DOTALL):
            for line in block.splitlines():
                if match := re.match(r"playhead (\w+)(.*)", line):
                    assert_known(_COMMANDS[match[1]], match[2].partition("#")[0])


def assert_known(command: Command, arguments: str) -> None:
    while isinstance(command, Group) and re.match(r"\s*\w", arguments):  # or it stands alone
        name, _, arguments = arguments.strip().partition(" ")
        command = command.commands[name]
    options = {name for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"--[\w-]+", arguments)) <= options


def test_every_setting_is_in_the_readme_and_in_the_example() -> None:
    example = (_ROOT / ".env.example").read_text("utf-8")
    for name in Settings.model_fields:
        ours = name not in ("database_url", "openai_api_key")
        variable = f"PLAYHEAD_{name.upper()}" if ours else name.upper()
        assert f"| `{variable}` |" in _README
        assert variable in example


def test_every_file_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", _README):
        assert (_ROOT / target).exists(), target


def test_make_knows_the_commands_the_readme_names() -> None:
    makefile = (_ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^make (\w+)", _README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
