"""Fixtures with an embedded server per test, instead of the one that other tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from playhead.postgres.embedded.server import EmbeddedServer


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a fresh folder for a server, which is removed at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as parent:
        yield Path(parent) / "home" / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(folder)
    yield server
    server.detach()
    server.stop()
