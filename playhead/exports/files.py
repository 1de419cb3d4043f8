"""Output of exports: a file, written atomically, or standard output."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STDOUT: Final = Path("-")


def write_text(text: str, output: Path) -> None:
    """Write text as UTF-8, with line ends unchanged, to a file or standard output.

    Raises ``OSError`` if it cannot be written.
    """
    data = text.encode("utf-8", "replace")
    if output == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with atomic_write(output) as path:
        path.write_bytes(data)


@contextmanager
def atomic_write(output: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``output`` that replaces it on success.

    On an error the temporary file is removed. Raises ``OSError`` if the file cannot be replaced.
    """
    path = output.with_name(f".{uuid.uuid4().hex}{output.suffix}")
    try:
        yield path
        path.replace(output)
    finally:
        path.unlink(missing_ok=True)
