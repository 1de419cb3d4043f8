"""What code that took over a decoder could still do: it is run there, in a decoder's place."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from resources.media import apart

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    bool(apart.walls().missing), reason="this machine has not all the walls"
)


def inside(attempt: str) -> str:
    """What comes of it behind the walls, in a process of its own: "done", or the error's name."""
    program = f"""
import ctypes, os, socket, sys, threading
from resources.media.inside import walls
walls.shut_in()
if not os.fork():
    try:
        walls.confine()
{textwrap.indent(textwrap.dedent(attempt), " " * 8)}
        os.write(1, b"done")
    except BaseException as error:
        os.write(1, type(error).__name__.encode())
    os._exit(0)
_, status = os.wait()
os.write(1, f" {{-os.waitstatus_to_exitcode(status)}}".encode())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, check=True, timeout=60
    )
    return ended.stdout.decode()


@pytest.mark.parametrize(
    "attempt",
    [
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
    ],
)
def test_nothing_can_be_reached_from_inside(attempt: str) -> None:
    came_of_it, status = inside(attempt).split()
    assert came_of_it in {"PermissionError", "RuntimeError", "MemoryError", "OSError"}
    assert status == "0"


def test_what_may_be_done_inside_is_done() -> None:
    assert inside("sum(range(1000)); bytes(50 << 20); os.fstat(1)") == "done 0"
