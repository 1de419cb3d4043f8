"""A file and a port that sandboxed code must not touch, with counters."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tests.support import media_files


class Tripwire(FileSystemEventHandler):
    """Counts accesses: ``opened`` to the file, ``called`` to the port.

    Call ``count_accesses`` last: it also checks that counting works.
    """

    def __init__(self, folder: Path) -> None:
        self.path = media_files.make_audio(folder / "canary.wav", media_files.tone(1))
        self.opened = self.called = 0
        self._seen = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/canary.wav"

    def on_opened(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileOpenedEvent) and Path(str(event.src_path)) == self.path:
            self.opened += 1
            self._seen.set()

    def count_accesses(self) -> tuple[int, int]:
        """Return how often the file was opened and the port called so far.

        Fails if an access of its own is not seen, since then no access would be.
        """
        self._seen.clear()
        before = self.opened
        self.path.read_bytes()
        with socket.create_connection(("127.0.0.1", self.port)) as call:
            assert call.recv(1) == b"!"
        assert self._seen.wait(10)
        return before, self.called - 1

    def close(self) -> None:
        self._server.close()

    def _answer(self) -> None:
        while True:
            try:
                call, _ = self._server.accept()
            except OSError:
                return
            self.called += 1
            with call:
                call.sendall(b"!")


@contextmanager
def watch_tripwire(folder: Path) -> Iterator[Tripwire]:
    """Yield a tripwire in a folder, watched from now on."""
    tripwire, observer = Tripwire(folder), Observer()
    observer.schedule(tripwire, str(folder))
    observer.start()
    try:
        yield tripwire
    finally:
        observer.stop()
        observer.join()
        tripwire.close()
