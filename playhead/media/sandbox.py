"""Sandboxed process in which FFmpeg reads files, as used by the other modules.

Each of our processes has one fork server, started when it is first needed
(``sandboxed/fork_server.py``); it forks a restricted process for each file
(``sandboxed/restrictions.py``). Nothing from there is trusted beyond its form, and however the
process ends, that is an error of the recording.

Why our own: on PyPI, ``landlock`` is in development and ``pyseccomp`` is from 2021.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

from playhead.core.errors import (
    DecoderUnavailable,
    DecodingTooCostly,
    EmptyFile,
    NoAudioTrack,
    PermanentError,
    TruncatedMedia,
    UnreadableMedia,
)
from playhead.media.limits import STALLED_AFTER_SECONDS, decoding_too_costly
from playhead.media.sandbox_messages import Message, ProtocolError, receive

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 10.0
_MAX_BYTES: Final = 4096
_BEGIN: Final = (
    "import sys; sys.path += sys.argv[2:]; "
    "from playhead.media.sandboxed.fork_server import main; main(int(sys.argv[1]))"
)
_ERRORS: Final[dict[str, type[PermanentError]]] = {
    error.__name__: error
    for error in (DecodingTooCostly, EmptyFile, NoAudioTrack, TruncatedMedia, UnreadableMedia)
}
_LIMITS: Final = {signal.SIGKILL, signal.SIGXCPU}  # from the kernel, for exceeding a limit
_AGAIN: Final = "Upload the recording again from its source, or convert it first."


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The active restrictions of the sandbox, and why others are missing: a line each."""

    active: tuple[str, ...]
    missing: tuple[str, ...]


class SandboxProcess:
    """The fork server that starts all sandboxed processes; threads may share it."""

    def __init__(self) -> None:
        """Start the fork server.

        Raises ``DecoderUnavailable`` if it does not start.
        """
        self._control, child_end = socket.socketpair()
        with child_end:
            self.process = _started(child_end)
        self._lock = threading.Lock()
        self.restrictions = self._ready()

    def start_task(
        self, task: dict[str, Any], media: BinaryIO
    ) -> tuple[socket.socket, socket.socket]:
        """Start a process for a file, and return two sockets.

        The first receives its results, the second how it ended. Raises ``OSError`` if the fork
        server is gone.
        """
        results, child_results = socket.socketpair()
        exit_status, child_exit_status = socket.socketpair()
        descriptors = [media.fileno(), child_results.fileno(), child_exit_status.fileno()]
        with child_results, child_exit_status, self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(task).encode()], descriptors)
            except OSError:
                results.close()
                exit_status.close()
                raise
        return results, exit_status

    def close(self) -> None:
        self._control.close()
        self.process.wait()

    def detach(self) -> None:
        """Close only our end of the connection, without waiting for the process.

        For a forked process: the fork server belongs to its parent.
        """
        self._control.close()

    def _ready(self) -> Restrictions:
        self._control.settimeout(_START_SECONDS)
        report = b""
        with suppress(OSError):
            report = self._control.recv(_MAX_BYTES)
        if not report:
            self.process.kill()
            self.close()
            raise _unavailable("The decoding process does not start.")
        self._control.settimeout(None)
        return Restrictions(**{name: tuple(lines) for name, lines in json.loads(report).items()})


def _started(control: socket.socket) -> subprocess.Popen[bytes]:
    """Start the fork server without our environment, folder, terminal and site packages."""
    python = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BEGIN]
    return subprocess.Popen(
        [*python, str(control.fileno()), *_folders("playhead", "av")],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


def _folders(*packages: str) -> list[str]:
    """Return the folders that packages are imported from, without importing them."""
    specs = [find_spec(name) for name in packages]
    return [
        str(Path(spec.origin).resolve().parent.parent) for spec in specs if spec and spec.origin
    ]


class _SandboxHolder:
    """The fork server of this process, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fork_server: SandboxProcess | None = None

    def get(self) -> SandboxProcess:
        with self._lock:
            if self._fork_server is None or self._fork_server.process.poll() is not None:
                self._fork_server = SandboxProcess()
            return self._fork_server

    def close(self) -> None:
        if self._fork_server:
            self._fork_server.close()
            self._fork_server = None

    def detach(self) -> None:
        """Drop the parent's fork server in a forked process."""
        if self._fork_server:
            self._fork_server.detach()
        self._lock, self._fork_server = (
            threading.Lock(),
            None,
        )  # no thread of this process would release the old lock


_holder = _SandboxHolder()
atexit.register(_holder.close)
os.register_at_fork(after_in_child=_holder.detach)


def restrictions() -> Restrictions:
    """Return the restrictions of the sandbox.

    Raises ``DecoderUnavailable`` if it does not start.
    """
    return _holder.get().restrictions


def run_sandboxed(path: Path, task: dict[str, Any]) -> Iterator[Message]:
    """Run a task on a file in the sandbox, and yield its messages as they arrive.

    Raises the error that the process reports, ``DecodingTooCostly`` or ``UnreadableMedia`` if it
    died without a report, and ``DecoderUnavailable`` if the sandbox does not start.
    """
    with path.open("rb", buffering=0) as media:
        results, exit_status = _start_task(task, media)
    with closing(results), closing(exit_status):
        results.settimeout(STALLED_AFTER_SECONDS)
        try:
            for kind, payload in receive(results):
                if kind == "end":
                    return
                if kind == "error":
                    raise _parse_payload(payload)
                yield kind, payload
        except TimeoutError as error:
            raise decoding_too_costly(
                f"no output for {STALLED_AFTER_SECONDS:.0f} seconds"
            ) from error
        except ProtocolError as error:
            raise _crashed("it sent an invalid message") from error
        raise _exit_error(exit_status)


def _start_task(task: dict[str, Any], media: BinaryIO) -> tuple[socket.socket, socket.socket]:
    """Start a task, with a new fork server if the existing one has just ended."""
    with suppress(OSError):
        return _holder.get().start_task(task, media)
    try:
        return _holder.get().start_task(task, media)
    except OSError as error:
        raise _unavailable("The decoding process exits as it starts.") from error


def _parse_payload(payload: bytes) -> PermanentError:
    try:
        fields = json.loads(payload)
        error_class = _ERRORS[fields["class"]]
        return error_class(sanitize_text(fields["message"]), remedy=sanitize_text(fields["remedy"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ProtocolError("an error") from error


def sanitize_text(text: Any) -> str:
    """Return untrusted text in a form that may be stored and displayed.

    Unprintable characters are removed, and at most 500 characters are used.
    """
    return "".join(letter for letter in str(text)[:500] if letter.isprintable())


def _exit_error(exit_status: socket.socket) -> PermanentError | DecoderUnavailable:
    """Return the error for a process that disconnected before it had finished."""
    exit_status.settimeout(_END_SECONDS)
    report = b""
    with suppress(OSError):
        report = exit_status.recv(_MAX_BYTES)
    if not report:
        return _unavailable("The decoding process was terminated from outside.")
    usage = json.loads(report)
    number = -usage["code"]
    if number in _LIMITS:
        return decoding_too_costly(
            f"it used {usage['cpu_seconds']:.0f} seconds of processor time and "
            f"{usage['peak_bytes'] >> 20} MiB of memory"
        )
    names = {Signal.value: Signal.name for Signal in signal.Signals}
    return _crashed(names.get(number, f"exit code {usage['code']}"))


def _crashed(cause: str) -> UnreadableMedia:
    return UnreadableMedia(f"The decoder crashed on the file ({cause}).", remedy=_AGAIN)


def _unavailable(message: str) -> DecoderUnavailable:
    return DecoderUnavailable(
        message, remedy="It is tried again. If it stays so, run `playhead doctor`."
    )
