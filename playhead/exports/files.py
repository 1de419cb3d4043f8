"""Where an export goes: a file, whole or not at all, or standard output."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STDOUT: Final = Path("-")


def write_text(text: str, output: Path) -> None:
    """As UTF-8, with line ends as they are. Raises ``OSError``."""
    data = text.encode("utf-8", "replace")
    if output == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with atomic_write(output) as path:
        path.write_bytes(data)


@contextmanager
def atomic_write(output: Path) -> Iterator[Path]:
    """A path beside ``output``; what is written there takes its place when all went well, and goes
    when not. Raises ``OSError``."""
    path = output.with_name(f".{uuid.uuid4().hex}{output.suffix}")
    try:
        yield path
        path.replace(output)
    finally:
        path.unlink(missing_ok=True)
