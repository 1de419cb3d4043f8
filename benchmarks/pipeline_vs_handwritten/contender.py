"""What the benchmark asks of everybody it measures, ours and the floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.core.records import Transcript


class Answer(NamedTuple):
    """What a search found, nearest first; ``model`` is the one it says it searched by."""

    model: str
    texts: list[str]


class Contender(Protocol):
    """Chunks and vectors of some transcripts in one database, made by one process."""

    name: str

    def close(self) -> None: ...

    def keep(self, transcripts: Iterable[tuple[int, Transcript]]) -> None:
        """Have these by their numbers, in place of what was there. Not timed."""

    def update(self, embedder: Embedder) -> None:
        """Cut and embed what is not as the transcripts say, by this embedder."""

    def index(self) -> None:
        """Build what searching wants after a first load by model A."""

    def change_model(self, embedder: Embedder) -> None:
        """Build the embedder's set beside the one that is served, index it, then serve it."""

    def ask(self, question: str, embedders: Mapping[str, Embedder]) -> Answer:
        """Ten passages by meaning, of the set that is served; in any thread, one at a time."""
        ...

    def stored(self, model: str) -> Iterator[tuple[int, str, Vectors | None]]:
        """Number of the transcript, text and, if it has one, vector by this model of each chunk
        that belongs in its set."""
        ...
