"""Restrictions of the sandbox: code is run in a decoder's place and must not reach anything."""

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

#: Runs each attempt in a sandboxed process of its own and prints the result or the error.
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
def outcomes() -> dict[str, str]:
    if missing := sandbox.restrictions().missing:
        pytest.skip(f"this machine lacks restrictions: {', '.join(missing)}")
    attempts = [*FORBIDDEN, ALLOWED]
    completed = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(attempts)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    return dict(zip(attempts, completed.stdout.decode().split(), strict=True))


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_forbidden_operation_fails_in_the_sandbox(outcomes: dict[str, str], attempt: str) -> None:
    assert outcomes[attempt] in {"PermissionError", "RuntimeError", "MemoryError", "OSError"}


def test_allowed_operation_works_in_the_sandbox(outcomes: dict[str, str]) -> None:
    assert outcomes[ALLOWED] == "done"
