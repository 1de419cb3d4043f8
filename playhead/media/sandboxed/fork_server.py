"""Fork server: the process that forks a sandboxed process for each file.

It has imported everything, has restricted itself and never reads a file. It receives each task on a
socket with three descriptors: the media, the socket for the results of the new process, and the
socket on which the fork server reports how that process ended. If the caller closes the latter, the
process is killed.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from playhead.media.sandboxed.open_media import prepare
from playhead.media.sandboxed.restrictions import lock_down
from playhead.media.sandboxed.tasks import run_task

_MAX_BYTES: Final = 4096  # of a task
_MAX_DESCRIPTORS: Final = 1 << 20
_PEAK_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss


def main(descriptor: int) -> None:
    """Run the fork server until the other side disconnects."""
    control = socket.socket(fileno=descriptor)
    prepare()
    keeper = _ForkServer(control)
    walls = lock_down()
    gc.collect()
    gc.freeze()  # what begins here shares these pages
    control.sendall(json.dumps(asdict(walls)).encode())
    keeper.serve()


class _ForkServer:
    """A server that holds the exit socket of each running process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, socket.socket] = {}
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for waited_for in (control, self._bell):
            self._selector.register(waited_for, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        open_for_more = True
        while open_for_more:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    open_for_more = self._start_task()
                elif key.fileobj is self._bell:
                    self._reap()
                else:
                    self._kill(key.data)
        for process in self._lines:
            os.kill(process, signal.SIGKILL)

    def _start_task(self) -> bool:
        """Start a process for a task; return False once the caller disconnected."""
        said, descriptors, _, _ = socket.recv_fds(self._control, _MAX_BYTES, 3)
        if len(descriptors) != 3:
            return False
        media, line, own = descriptors
        process = os.fork()
        if not process:
            _run_task(said, media, line)
        os.close(media)
        os.close(line)
        self._lines[process] = socket.socket(fileno=own)
        self._selector.register(own, selectors.EVENT_READ, process)
        return True

    def _kill(self, process: int) -> None:
        """Kill a process whose caller gave up, unless it has already been reaped."""
        if process in self._lines:
            self._selector.unregister(self._lines[process].fileno())
            os.kill(process, signal.SIGKILL)

    def _reap(self) -> None:
        """Report the exit of each process that has ended."""
        self._bell.recv(_MAX_BYTES)
        with suppress(ChildProcessError):
            while (died := os.wait4(-1, os.WNOHANG))[0]:
                process, status, used = died
                self._report_exit(self._lines.pop(process), os.waitstatus_to_exitcode(status), used)

    def _report_exit(self, line: socket.socket, code: int, used: resource.struct_rusage) -> None:
        with suppress(KeyError):
            self._selector.unregister(line.fileno())
        ended = {
            "code": code,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "peak_bytes": used.ru_maxrss * _PEAK_UNIT,
        }
        with line, suppress(OSError):
            line.sendall(json.dumps(ended).encode())


def _run_task(said: bytes, media: int, line: int) -> None:
    """Run a task in the forked process, then exit."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        os.dup2(0, 2)  # FFmpeg and Python have nothing to say to a terminal
        _close_all_but(media, line)
        run_task(json.loads(said), media, socket.socket(fileno=line))
        code = 0
    finally:
        os._exit(code)


def _close_all_but(*kept: int) -> None:
    first = 3  # after the usual ones, which are nothing
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, _MAX_DESCRIPTORS)
