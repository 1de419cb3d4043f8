"""What the pipeline asks of whatever writes documents. Adapters live beside this file."""

from __future__ import annotations

from typing import Protocol

from playhead.core.records import Cost, Document, Engine, Kind, Price, Transcript


class Writer(Protocol):
    """Transcript to structured Markdown that knows when each part was said."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
        """A document with at least one section. A transcript without words gives a document
        that says so. Every span of it stands in its content and lies in the recording."""
        ...
