"""Programs on a moved clock.

``python -m tests.support.time_travel 2027-04-02 pytest tests/unit`` runs the tests on that day.
libfaketime adds an offset, so that time goes on at its pace and is the same in all child processes,
the tests' Postgres among them. The monotonic clock is not moved, since timeouts use it; nor are the
kernel's clock, of files, and that of servers that read it without the C library.
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

CLOCK_MOVED = "FAKETIME" in os.environ
#: For tests that compare the clock with one that stays.
requires_real_clock = pytest.mark.skipif(CLOCK_MOVED, reason="a moved clock")

_LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
_VARIABLES = ("LD_PRELOAD", "FAKETIME", "DONT_FAKE_MONOTONIC")


def environment_on(day: date) -> Mapping[str, str]:
    """Return the environment for a program whose clock shows noon of this day, UTC."""
    offset = float(os.environ.get("FAKETIME", "0"))
    seconds = datetime.combine(day, time(12), UTC).timestamp() - datetime.now(UTC).timestamp()
    seconds += offset
    return dict(zip(_VARIABLES, (str(_LIBRARY), f"{seconds:+.0f}", "1"), strict=True))


def keep_postgres_on_this_clock(patch: pytest.MonkeyPatch) -> None:
    """Patch embedded servers started from now on to inherit the moved clock."""
    clock = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    code = (
        "from playhead.postgres.embedded import cluster;"
        f" cluster._ENVIRONMENT.update({clock!r}); main()"
    )
    patch.setattr(server, "_SUPERVISOR", server._SUPERVISOR.replace("main()", code))


def main() -> None:
    day, *command = sys.argv[1:]
    moved = {**os.environ, **environment_on(date.fromisoformat(day))}
    os.execve(sys.executable, [sys.executable, "-m", *command], moved)


if __name__ == "__main__":
    main()
