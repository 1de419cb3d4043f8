"""LRU cache of sentence embeddings, shared by the searches of one ``SearchService``.

It belongs to one organisation and is never shared between two. Its keys are hashes, so it holds no
text of a deleted recording.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from playhead.core.protocols.embedder import Vectors
from playhead.core.records import text_hash

#: Holds 20,000 sentences of MiniLM, or 2,700 of a model with 3,072 dimensions.
MAX_BYTES = 32 * 2**20


class SentenceCache:
    """LRU cache of the sentence embeddings of one organisation.

    Threads may share it; a sentence that two request at the same time is embedded twice.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, str], NDArray[np.float32]] = OrderedDict()

    def get_vectors(
        self, set_id: int, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]
    ) -> Vectors:
        """Return the vectors of texts, with shape ``(len(texts), dimensions)``.

        ``embed`` is called once for the texts that are not cached for this set.
        """
        hashes = [text_hash(text) for text in texts]
        cached = self._get(set_id, hashes)
        missing = {key: text for key, text in zip(hashes, texts, strict=True) if key not in cached}
        if missing:
            added = dict(zip(missing, embed([*missing.values()]), strict=True))
            self._put(set_id, added)
            cached |= added
        return np.array([cached[key] for key in hashes], np.float32)

    def _get(self, set_id: int, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found = {}
        with self._lock:
            for key in hashes:
                if (vector := self._known.get((set_id, key))) is not None:
                    self._known.move_to_end((set_id, key))
                    found[key] = vector
        return found

    def _put(self, set_id: int, vectors: dict[str, NDArray[np.float32]]) -> None:
        """Store vectors, and evict the least recently used ones if there is no room."""
        with self._lock:
            for key, vector in vectors.items():
                if (set_id, key) not in self._known:
                    self._known[set_id, key] = vector.copy()  # a view would keep the whole batch
                    self._bytes += vector.nbytes
            while self._bytes > self._max_bytes:
                _, oldest = self._known.popitem(last=False)
                self._bytes -= oldest.nbytes
