"""The interface of everything that this benchmark measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.core.records import Transcript


class Answer(NamedTuple):
    """The found texts, nearest first; ``model`` is the one that was searched by its own account."""

    model: str
    texts: list[str]


class Contender(Protocol):
    """Chunks and vectors of some transcripts in one database, written by one process."""

    name: str

    def close(self) -> None: ...

    def store(self, transcripts: Iterable[tuple[int, Transcript]]) -> None:
        """Store these transcripts by number, replacing previous ones. Not timed."""

    def update(self, embedder: Embedder) -> None:
        """Chunk and embed what is out of date, with this embedder."""

    def index(self) -> None:
        """Build the search indexes after a first load by model A."""

    def change_model(self, embedder: Embedder) -> None:
        """Build the embedder's set beside the current one, index it, then switch to it."""

    def ask(self, question: str, embedders: Mapping[str, Embedder]) -> Answer:
        """Return ten chunks by vector from the current set; called by any thread, one at a time."""
        ...

    def stored(self, model: str) -> Iterator[tuple[int, str, Vectors | None]]:
        """Yield the transcript's number, text and vector of each chunk of the model's set.

        The vector is None if the chunk has none.
        """
        ...
