"""The protocol of engines that write documents, as used by the pipeline.

Adapters are in ``playhead/engines/writing``.
"""

from __future__ import annotations

from typing import Protocol

from playhead.core.records import Cost, Document, Engine, Kind, Price, Transcript


class Writer(Protocol):
    """An engine that writes a transcript up as structured Markdown with times."""

    @property
    def engine(self) -> Engine: ...

    @property
    def price(self) -> Price: ...

    def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
        """Return a document with at least one section, and its cost.

        A transcript without words gives a document that says so. Every span lies within its content
        and within the recording.
        """
        ...
