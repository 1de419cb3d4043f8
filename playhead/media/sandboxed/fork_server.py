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
    server = _ForkServer(control)
    restrictions = lock_down()
    gc.collect()
    gc.freeze()  # forked processes share these pages
    control.sendall(json.dumps(asdict(restrictions)).encode())
    server.serve()


class _ForkServer:
    """A server that holds the exit socket of each running process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._exit_sockets: dict[int, socket.socket] = {}
        self._wakeup_reader, self._wakeup_writer = socket.socketpair()
        self._wakeup_writer.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for source in (control, self._wakeup_reader):
            self._selector.register(source, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        connected = True
        while connected:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    connected = self._start_task()
                elif key.fileobj is self._wakeup_reader:
                    self._reap()
                else:
                    self._kill(key.data)
        for process in self._exit_sockets:
            os.kill(process, signal.SIGKILL)

    def _start_task(self) -> bool:
        """Start a process for a task; return False once the caller disconnected."""
        task, descriptors, _, _ = socket.recv_fds(self._control, _MAX_BYTES, 3)
        if len(descriptors) != 3:
            return False
        media, results, exit_socket = descriptors
        process = os.fork()
        if not process:
            _run_task(task, media, results)
        os.close(media)
        os.close(results)
        self._exit_sockets[process] = socket.socket(fileno=exit_socket)
        self._selector.register(exit_socket, selectors.EVENT_READ, process)
        return True

    def _kill(self, process: int) -> None:
        """Kill a process whose caller gave up, unless it has already been reaped."""
        if process in self._exit_sockets:
            self._selector.unregister(self._exit_sockets[process].fileno())
            os.kill(process, signal.SIGKILL)

    def _reap(self) -> None:
        """Report the exit of each process that has ended."""
        self._wakeup_reader.recv(_MAX_BYTES)
        with suppress(ChildProcessError):
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                process, status, used = ended
                self._report_exit(
                    self._exit_sockets.pop(process), os.waitstatus_to_exitcode(status), used
                )

    def _report_exit(
        self, exit_socket: socket.socket, code: int, used: resource.struct_rusage
    ) -> None:
        with suppress(KeyError):
            self._selector.unregister(exit_socket.fileno())
        report = {
            "code": code,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "peak_bytes": used.ru_maxrss * _PEAK_UNIT,
        }
        with exit_socket, suppress(OSError):
            exit_socket.sendall(json.dumps(report).encode())


def _run_task(task: bytes, media: int, results: int) -> None:
    """Run a task in the forked process, then exit."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        os.dup2(0, 2)  # no output to a terminal
        _close_all_but(media, results)
        run_task(json.loads(task), media, socket.socket(fileno=results))
        code = 0
    finally:
        os._exit(code)


def _close_all_but(*descriptors: int) -> None:
    first = 3  # 0 to 2 are /dev/null
    for descriptor in sorted(descriptors):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, _MAX_DESCRIPTORS)
