"""A server of one's own for each test, and not the one that other tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from playhead.postgres.embedded.server import EmbeddedServer


@pytest.fixture
def folder() -> Iterator[Path]:
    """A fresh place for a server, which is stopped in the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as parent:
        yield Path(parent) / "home" / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(folder)
    yield server
    server.detach()
    server.stop()
