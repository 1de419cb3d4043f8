"""The local embedder WordLlama: 256 dimensions, 100 times as fast as MiniLM, less accurate.

It is the embedder for large archives and small machines. A vector is the mean of static token
vectors, as in wordllama's own inference. Only the data files of the installed ``wordllama`` wheel
are read: importing the package would configure the root logger of the whole process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

from playhead.core.packaged_models import weights_sha256, wordllama_files
from playhead.core.protocols.embedder import Vectors, by_count
from playhead.core.records import FREE, Engine
from playhead.engines.embedding.tokenizer import FileTokenizer
from playhead.engines.embedding.validation import require_unit_rows, require_within_window

_MODEL = f"l2_supercat_256@{weights_sha256('wordllama')[:12]}"
_DIMENSIONS = 256
_WINDOW_TOKENS = 8192
_START_TOKEN = 1  # <s>


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: FileTokenizer
    table: Vectors  # (vocabulary, 256)


class WordLlama:
    """The light embedder; it loads its model at the first text and is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: _Model | None = None

    price = FREE
    tokens = _MODEL

    @property
    def engine(self) -> Engine:
        return Engine("wordllama", _MODEL, {"pooling": "mean", "preprocessing": 1})

    @property
    def dimensions(self) -> int:
        return _DIMENSIONS

    @property
    def window_tokens(self) -> int:
        """Return the maximum length of a text, 8,192 tokens.

        The model itself has no limit, but a mean over more tokens says little about any of them.
        """
        return _WINDOW_TOKENS

    @property
    def tokenizer(self) -> FileTokenizer:
        return self._model().tokenizer

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        return by_count(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of ``texts``, of shape ``(len(texts), 256)``, in their order.

        A text without tokens has the vector of the start token. Raises ``PermanentError`` for a
        text of more than ``window_tokens``, and ``ModelUnavailable`` if the model's files are
        missing or altered.
        """
        model = self._model()
        ids = model.tokenizer.ids(texts, special=False)
        require_within_window([len(tokens) for tokens in ids], _WINDOW_TOKENS)
        vectors = np.empty((len(ids), _DIMENSIONS), np.float32)
        for row, tokens in enumerate(ids):
            vectors[row] = model.table[tokens or [_START_TOKEN]].mean(axis=0)
        return require_unit_rows(vectors, dimensions=_DIMENSIONS)

    def _model(self) -> _Model:
        with self._lock:
            if self._loaded is None:
                weights, tokenizer = wordllama_files()
                table = load_file(weights)["embedding.weight"].astype(np.float32)
                self._loaded = _Model(FileTokenizer(tokenizer), table)
            return self._loaded
