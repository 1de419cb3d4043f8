"""Programs under a clock that was moved on: `python -m tests.later 2027-04-02 pytest tests/unit`.

By libfaketime, as an offset, so that time goes on at its pace and is the same in all processes that
are started meanwhile. The monotonic clock stays, since timeouts go by it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path

import libfaketime
import pytest

#: For tests that compare the clock with one that stays: of files, which is the kernel's, and of the
#: embedded database, which is started with an environment of its own.
needs_one_clock = pytest.mark.skipif("FAKETIME" in os.environ, reason="a moved clock")

_LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


def moved_to(day: date) -> Mapping[str, str]:
    """The environment of a program that believes it is noon of this day, UTC."""
    moved_already = float(os.environ.get("FAKETIME", "0"))
    seconds = datetime.combine(day, time(12), UTC).timestamp() - datetime.now(UTC).timestamp()
    seconds += moved_already
    return {
        "LD_PRELOAD": str(_LIBRARY),
        "FAKETIME": f"{seconds:+.0f}",
        "DONT_FAKE_MONOTONIC": "1",
    }


def main() -> None:
    day, *command = sys.argv[1:]
    moved = {**os.environ, **moved_to(date.fromisoformat(day))}
    os.execve(sys.executable, [sys.executable, "-m", *command], moved)


if __name__ == "__main__":
    main()
