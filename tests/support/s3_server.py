"""An S3 server on a socket of its own, and a TCP proxy to it that counts bytes and can cut.

rclone 1.75 answers a request for a range with the range and status 200; S3 says 206, and the client
requires that (fixed in gofakes3, pull request 121). The proxy corrects the status and nothing else.
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
_CACHE_SECONDS = 0.05  # without any, rclone spends its time listing folders
_RCLONE = Path(sys.executable).parent / "rclone"


@dataclass(frozen=True, slots=True)
class S3Server:
    """``rclone serve s3`` over a folder, whose folders are its buckets."""

    folder: Path
    port: int

    def bucket(self, name: str) -> Path:
        """Create a bucket and return the folder of its objects."""
        (self.folder / name).mkdir(exist_ok=True)
        wait_until_visible()
        return self.folder / name


@contextmanager
def serve_s3(folder: Path, *, etag_hash: str = "MD5") -> Iterator[S3Server]:
    """Serve a folder. An empty ``etag_hash`` saves reading whole objects for their etag."""
    folder.mkdir()
    port = free_port()
    arguments = ["serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"]
    no_cache = [
        "--config",
        "",
        "--dir-cache-time",
        f"{_CACHE_SECONDS}s",
        "--etag-hash",
        etag_hash,
    ]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen([_RCLONE, *arguments, *no_cache, folder], stdout=log, stderr=log)
        try:
            _wait_for(port)
            yield S3Server(folder, port)
        finally:
            process.terminate()
            process.wait()


def wait_until_visible() -> None:
    """Wait until files written directly into the server's folder are visible through it."""
    time.sleep(3 * _CACHE_SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        if time.monotonic() > deadline:
            raise TimeoutError("rclone does not listen")
        time.sleep(0.05)


class TcpProxy:
    """A TCP proxy that counts bytes and cuts connections.

    ``sent`` and ``received`` count bytes to the server and from it. Once ``cut_when_sent`` or
    ``cut_when_received`` bytes have passed, all connections are closed, and new ones are refused
    for ``down_seconds``.
    """

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
        self._listener.shutdown(socket.SHUT_RDWR)  # ends a pending accept
        self._listener.close()
        self._close_all()

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
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
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
            self._close_all()

    def _close_all(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()


def _partial(data: bytes) -> bytes:
    """Change status 200 to 206 in a reply to a range request.

    A reply begins a block of its own, since the previous one was read to its end.
    """
    if data.startswith(b"HTTP/1.1 200") and b"\r\nContent-Range:" in data[:4096]:
        return data.replace(b"200 OK", b"206 Partial Content", 1)
    return data


@contextmanager
def open_proxy(server: S3Server) -> Iterator[TcpProxy]:
    proxy = TcpProxy(server.port)
    try:
        yield proxy
    finally:
        proxy.close()
