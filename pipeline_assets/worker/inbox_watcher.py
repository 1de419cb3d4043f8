"""The warm worker's inbox thread, which ingests files while a run works.

``playhead/inbox/protocol.py`` decides when a file is complete.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import click

from pipeline_assets.ops.ingest_file import ingest_from_inbox
from playhead.core.errors import PlayheadError
from playhead.inbox.protocol import StabilityTracker
from playhead.services.context import PipelineServices


class InboxWatcher(threading.Thread):
    """A thread that ingests inbox files until it is closed.

    A file that cannot be ingested stays in the inbox and is tried again.
    """

    def __init__(self, services: PipelineServices) -> None:
        super().__init__(daemon=True)
        self._services = services
        self._names: deque[str] = deque()
        self._wake = threading.Event()
        self._closed = False

    def run(self) -> None:
        tracker = StabilityTracker()
        with self._services.files.inbox.watch(self._notify):
            while not self._closed:
                self._ingest_complete(tracker)
                self._wake.wait(tracker.wait(time.monotonic()))
                self._wake.clear()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self.join()

    def _notify(self, name: str) -> None:
        self._names.append(name)
        self._wake.set()

    def _ingest_complete(self, tracker: StabilityTracker) -> None:
        now = time.monotonic()
        while self._names:
            tracker.closed(self._names.popleft(), now)
        try:
            names = tracker.complete(self._services.files.inbox.list_files(), now)
        except (OSError, PlayheadError) as error:
            click.echo(f"The inbox cannot be read: {error}", err=True)
            return
        for name in names:
            if self._closed:
                return
            self._ingest(name)

    def _ingest(self, name: str) -> None:
        try:
            result = ingest_from_inbox(self._services, name)
        except FileNotFoundError:
            return  # ingested by the sensor, or removed by the user
        except (OSError, PlayheadError) as error:
            click.echo(f"{name!r} stays in the inbox: {error}", err=True)
            return
        word = "is already" if result.duplicate else "was added as"
        click.echo(f"{name!r} {word} {result.recording.partition_key}")
