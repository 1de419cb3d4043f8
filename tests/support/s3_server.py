"""A server that speaks S3, on a socket of its own, and a line to it that counts what passes and can
be cut.

rclone 1.75 answers a request for a range with the range and 200; S3 says 206, and the client
insists (mended in gofakes3, pull request 121). The line puts that right, and nothing else.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

KEY, SECRET = "a-key-of-tests", "a-secret-of-tests"
_UNNOTICED_SECONDS = 0.05  # with none at all rclone does little else than look
_RCLONE = Path(sys.executable).parent / "rclone"


@dataclass(frozen=True, slots=True)
class Server:
    """``rclone serve s3`` over a folder, whose folders are its buckets."""

    folder: Path
    port: int

    def bucket(self, name: str) -> Path:
        """Makes a bucket; the folder of its objects."""
        (self.folder / name).mkdir(exist_ok=True)
        noticed()
        return self.folder / name


@contextmanager
def serving(folder: Path, *, etag_hash: str = "MD5") -> Iterator[Server]:
    """``etag_hash``: rclone reads an object whole for its etag, at every request; "" has it not."""
    folder.mkdir()
    port = free_port()
    arguments = ["serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"]
    nothing_kept = [
        "--config",
        "",
        "--dir-cache-time",
        f"{_UNNOTICED_SECONDS}s",
        "--etag-hash",
        etag_hash,
    ]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [_RCLONE, *arguments, *nothing_kept, folder], stdout=log, stderr=log
        )
        try:
            _wait_for(port)
            yield Server(folder, port)
        finally:
            process.terminate()
            process.wait()


def noticed() -> None:
    """What was written to the server's folder behind its back is seen from now on."""
    time.sleep(3 * _UNNOTICED_SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        if time.monotonic() > deadline:
            raise TimeoutError("rclone does not listen")
        time.sleep(0.05)


class Line:
    """A TCP proxy. ``sent`` and ``received``: bytes that went through it to the server and from it.
    Once ``cut_when_sent`` or ``cut_when_received`` have passed, all connections end at once, and
    new ones are refused for ``down_seconds``."""

    def __init__(self, port: int) -> None:
        self.sent = self.received = self.cuts = 0
        self.cut_when_sent = self.cut_when_received = sys.maxsize
        self.down_seconds = 0.0
        self._up_at = 0.0
        self._server = port
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which ends a wait for the next one
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                if time.monotonic() < self._up_at:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {client, server}
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                target.sendall(data if to_server else _partial(data))
                self._count(len(data), to_server)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int, to_server: bool) -> None:
        with self._lock:
            if to_server:
                self.sent += size
            else:
                self.received += size
            if self.sent < self.cut_when_sent and self.received < self.cut_when_received:
                return
            self.cut_when_sent = self.cut_when_received = sys.maxsize
            self.cuts += 1
            self._up_at = time.monotonic() + self.down_seconds
            self._cut()

    def _cut(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()


def _partial(data: bytes) -> bytes:
    """An answer begins a block of its own: the one before was read to its end."""
    if data.startswith(b"HTTP/1.1 200") and b"\r\nContent-Range:" in data[:4096]:
        return data.replace(b"200 OK", b"206 Partial Content", 1)
    return data


@contextmanager
def line_to(server: Server) -> Iterator[Line]:
    line = Line(server.port)
    try:
        yield line
    finally:
        line.close()
