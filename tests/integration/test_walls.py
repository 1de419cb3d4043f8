"""What code that took over a decoder could still do: it is run there, in a decoder's place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from playhead.media import sandbox

ROOT = Path(__file__).parents[2]

FORBIDDEN = (
    "open('/etc/passwd').read()",
    f"open({str(ROOT / 'README.md')!r}).read()",
    "open('/tmp/left-behind', 'w').write('x')",
    "os.listdir('/')",
    "os.unlink('/tmp/somebodys')",
    "socket.socket().connect(('127.0.0.1', 22))",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))",
    "socket.socket(socket.AF_UNIX).connect('/tmp/.s.PGSQL.5432')",
    "os.execv('/bin/true', ['true'])",
    "os.fork()",
    "threading.Thread(target=print).start()",
    "os.kill(os.getppid(), 9)",
    "os.setuid(0)",
    "bytearray(2 << 30)",
    "[os.dup(1) for _ in range(100)]",
    "os.memfd_create('x')",
)
ALLOWED = "sum(range(1000)); bytes(50 << 20); os.fstat(1)"

#: Each attempt in a process of its own, begun as decoders are: what came of it, or the error.
PROGRAM = """
import json, os, socket, sys, threading
from playhead.media.sandboxed import restrictions

restrictions.lock_down()
for attempt in json.loads(sys.argv[1]):
    if not os.fork():
        try:
            restrictions.lock_down_child()
            exec(attempt)
            os.write(1, b"done\\n")
        except BaseException as error:
            os.write(1, type(error).__name__.encode() + b"\\n")
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def came_of() -> dict[str, str]:
    if missing := sandbox.restrictions().missing:
        pytest.skip(f"this machine has not all the walls: {', '.join(missing)}")
    attempts = [*FORBIDDEN, ALLOWED]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(attempts)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    return dict(zip(attempts, ended.stdout.decode().split(), strict=True))


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_nothing_can_be_reached_from_inside(came_of: dict[str, str], attempt: str) -> None:
    assert came_of[attempt] in {"PermissionError", "RuntimeError", "MemoryError", "OSError"}


def test_what_may_be_done_inside_is_done(came_of: dict[str, str]) -> None:
    assert came_of[ALLOWED] == "done"
