"""The process apart, in which FFmpeg looks at files, as seen from outside.

One keeper a process of ours, started when it is first needed (``inside/keeper.py``); it forks a
process for each file, behind walls (``inside/walls.py``). Nothing that comes from there is
believed further than its form goes, and however it ends, that is an error of the recording.

Not here: what is asked for (``probe.py``, ``decode.py``).
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
_LIMITS: Final = {signal.SIGKILL, signal.SIGXCPU}  # how the kernel ends what goes over one
_AGAIN: Final = "Upload the recording again from its source, or convert it first."


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Which walls stand around the process apart, and why others do not: a line each."""

    active: tuple[str, ...]
    missing: tuple[str, ...]


class SandboxProcess:
    """The process in which all others begin. Threads may share it."""

    def __init__(self) -> None:
        """Raises ``DecoderUnavailable``."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = _started(theirs)
        self._lock = threading.Lock()
        self.walls = self._ready()

    def start_task(
        self, task: dict[str, Any], media: BinaryIO
    ) -> tuple[socket.socket, socket.socket]:
        """Have a process look at a file. Two lines: what it finds, and how it ends. Raises
        ``OSError`` when the keeper is gone."""
        line, theirs = socket.socketpair()
        own, keepers = socket.socketpair()
        descriptors = [media.fileno(), theirs.fileno(), keepers.fileno()]
        with theirs, keepers, self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(task).encode()], descriptors)
            except OSError:
                line.close()
                own.close()
                raise
        return line, own

    def close(self) -> None:
        self._control.close()
        self.process.wait()

    def detach(self) -> None:
        """To whoever it belongs: this process was forked off its owner."""
        self._control.close()

    def _ready(self) -> Restrictions:
        self._control.settimeout(_START_SECONDS)
        said = b""
        with suppress(OSError):
            said = self._control.recv(_MAX_BYTES)
        if not said:
            self.process.kill()
            self.close()
            raise _unavailable("The process that decodes recordings does not start.")
        self._control.settimeout(None)
        return Restrictions(**{name: tuple(lines) for name, lines in json.loads(said).items()})


def _started(control: socket.socket) -> subprocess.Popen[bytes]:
    """Without our environment, folder, terminal and site packages."""
    python = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BEGIN]
    return subprocess.Popen(
        [*python, str(control.fileno()), *_folders("resources", "av")],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


def _folders(*packages: str) -> list[str]:
    """Where packages are imported from; importing none."""
    specs = [find_spec(name) for name in packages]
    return [
        str(Path(spec.origin).resolve().parent.parent) for spec in specs if spec and spec.origin
    ]


class _SandboxHolder:
    """This process's keeper, once there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: SandboxProcess | None = None

    def get(self) -> SandboxProcess:
        with self._lock:
            if self._keeper is None or self._keeper.process.poll() is not None:
                self._keeper = SandboxProcess()
            return self._keeper

    def close(self) -> None:
        if self._keeper:
            self._keeper.close()
            self._keeper = None

    def detach(self) -> None:
        """In a forked process."""
        if self._keeper:
            self._keeper.detach()
        self._lock, self._keeper = threading.Lock(), None  # nobody here would release the old one


_holder = _SandboxHolder()
atexit.register(_holder.close)
os.register_at_fork(after_in_child=_holder.detach)


def restrictions() -> Restrictions:
    """Raises ``DecoderUnavailable``."""
    return _holder.get().walls


def run_sandboxed(path: Path, task: dict[str, Any]) -> Iterator[Message]:
    """What a process apart finds in a file, as it comes. Raises the error that it tells,
    ``DecodingTooCostly`` or ``UnreadableMedia`` where it did not live to tell one, and
    ``DecoderUnavailable``."""
    with path.open("rb", buffering=0) as media:
        line, own = _start_task(task, media)
    with closing(line), closing(own):
        line.settimeout(STALLED_AFTER_SECONDS)
        try:
            for kind, payload in receive(line):
                if kind == "end":
                    return
                if kind == "error":
                    raise _parse_payload(payload)
                yield kind, payload
        except TimeoutError as error:
            raise decoding_too_costly(
                f"nothing came of it for {STALLED_AFTER_SECONDS:.0f} seconds"
            ) from error
        except ProtocolError as error:
            raise _crashed("it says what it never should") from error
        raise _exit_error(own)


def _start_task(task: dict[str, Any], media: BinaryIO) -> tuple[socket.socket, socket.socket]:
    """By another keeper, where the one there was has just gone."""
    with suppress(OSError):
        return _holder.get().start_task(task, media)
    try:
        return _holder.get().start_task(task, media)
    except OSError as error:
        raise _unavailable("The process that decodes recordings ends as it starts.") from error


def _parse_payload(payload: bytes) -> PermanentError:
    try:
        said = json.loads(payload)
        error = _ERRORS[said["class"]]
        return error(sanitize_text(said["message"]), remedy=sanitize_text(said["remedy"]))
    except (ValueError, LookupError, TypeError) as garbled:
        raise ProtocolError("an error") from garbled


def sanitize_text(text: Any) -> str:
    """A text that may be stored and shown, whoever wrote it."""
    return "".join(letter for letter in str(text)[:500] if letter.isprintable())


def _exit_error(own: socket.socket) -> PermanentError | DecoderUnavailable:
    """What became of a process that hung up before it was done."""
    own.settimeout(_END_SECONDS)
    said = b""
    with suppress(OSError):
        said = own.recv(_MAX_BYTES)
    if not said:
        return _unavailable("The process that decodes recordings was ended from outside.")
    ended = json.loads(said)
    number = -ended["code"]
    if number in _LIMITS:
        return decoding_too_costly(
            f"it had taken {ended['cpu_seconds']:.0f} seconds of processor time and "
            f"{ended['peak_bytes'] >> 20} MiB of memory"
        )
    names = {one.value: one.name for one in signal.Signals}
    return _crashed(names.get(number, f"exit code {ended['code']}"))


def _crashed(how: str) -> UnreadableMedia:
    return UnreadableMedia(f"The decoder broke on the file ({how}).", remedy=_AGAIN)


def _unavailable(what: str) -> DecoderUnavailable:
    return DecoderUnavailable(
        what, remedy="It is tried again. If it stays so, what playhead doctor says of decoding."
    )
