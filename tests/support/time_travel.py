"""Programs under a clock that was moved on: `python -m tests.support.time_travel 2027-04-02 pytest tests/unit`.

By libfaketime, as an offset, so that time goes on at its pace and is the same in all processes that
are started meanwhile, the tests' Postgres among them. The monotonic clock stays, since timeouts go
by it; so do the kernel's, of files, and that of servers that ask it without the C library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path

import libfaketime
import pytest

from playhead.postgres.embedded import server

MOVED = "FAKETIME" in os.environ
#: For tests that compare the clock with one that stays.
needs_one_clock = pytest.mark.skipif(MOVED, reason="a moved clock")

_LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
_VARIABLES = ("LD_PRELOAD", "FAKETIME", "DONT_FAKE_MONOTONIC")


def moved_to(day: date) -> Mapping[str, str]:
    """The environment of a program that believes it is noon of this day, UTC."""
    moved_already = float(os.environ.get("FAKETIME", "0"))
    seconds = datetime.combine(day, time(12), UTC).timestamp() - datetime.now(UTC).timestamp()
    seconds += moved_already
    return dict(zip(_VARIABLES, (str(_LIBRARY), f"{seconds:+.0f}", "1"), strict=True))


def keep_postgres_on_this_clock(patch: pytest.MonkeyPatch) -> None:
    """For embedded servers started from now on, which by themselves take no variable of ours."""
    clock = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    told = f"from playhead.postgres.embedded import cluster; cluster._ENVIRONMENT.update({clock!r}); main()"
    patch.setattr(server, "_SUPERVISOR", server._SUPERVISOR.replace("main()", told))


def main() -> None:
    day, *command = sys.argv[1:]
    moved = {**os.environ, **moved_to(date.fromisoformat(day))}
    os.execve(sys.executable, [sys.executable, "-m", *command], moved)


if __name__ == "__main__":
    main()
