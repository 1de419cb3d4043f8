"""Fixtures with a home of its own and the real command line in a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PLAYHEAD = Path(sys.executable).parent / "playhead"


@dataclass(frozen=True)
class Home:
    """A ``PLAYHEAD_HOME`` and the command line on it."""

    folder: Path
    settings: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PLAYHEAD_HOME": str(self.folder)} | self.settings

    def playhead(self, *arguments: str | Path, exits: int = 0) -> str:
        """Run a command, require its exit code, and return its stdout."""
        return self.run(*arguments, exits=exits).stdout

    def run(self, *arguments: str | Path, exits: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command, require its exit code, and return it with its output."""
        run = subprocess.run(
            [_PLAYHEAD, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert run.returncode == exits, run.stdout + run.stderr
        return run

    def json(self, *arguments: str | Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.playhead(*arguments, "--json").splitlines()]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command without waiting for it."""
        return subprocess.Popen(
            [_PLAYHEAD, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an empty home with stub engines."""
    return Home(tmp_path, {"PLAYHEAD_TRANSCRIBER": "stub", "PLAYHEAD_EMBEDDER": "stub"})


@pytest.fixture(scope="session")
def spoken_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return an empty home with real engines, shared by the tests of a file."""
    folder = tmp_path_factory.mktemp("spoken")
    return Home(folder, {"PLAYHEAD_TRANSCRIBER": "whisper-tiny.en"})
