"""WordLlama on this machine: 256 dimensions, no network, a hundred times MiniLM's speed and
weaker; the embedder for large archives and small machines.

Here: the mean of static token vectors, as wordllama's own inference takes it. Only the data
files of the installed ``wordllama`` wheel are read: importing the package would set up the
root logger of the whole process.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from resources.embedding.protocol import Vectors
from resources.embedding.tokens import FileTokenizer
from resources.embedding.vectors import refuse_longer, unit_rows
from resources.errors import ModelUnavailable
from resources.records import Engine

_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_SHA256 = {
    _WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    _TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}
_DIMENSIONS = 256
_WINDOW_TOKENS = 8192
_START_TOKEN = 1  # <s>


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: FileTokenizer
    table: Vectors  # (vocabulary, 256)


class WordLlama:
    """The light embedder. Nothing is loaded before the first text; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: _Model | None = None

    @property
    def engine(self) -> Engine:
        model = f"l2_supercat_256@{_SHA256[_WEIGHTS][:12]}"
        return Engine("wordllama", model, {"pooling": "mean", "preprocessing": 1})

    @property
    def dimensions(self) -> int:
        return _DIMENSIONS

    @property
    def window_tokens(self) -> int:
        """8,192. The model itself has no limit, but a mean over more words than that says
        little about any of them."""
        return _WINDOW_TOKENS

    @property
    def tokenizer(self) -> FileTokenizer:
        return self._model().tokenizer

    def embed(self, texts: Sequence[str]) -> Vectors:
        """``(len(texts), 256)`` unit vectors, in the order of ``texts``. A text without tokens
        has the vector of the start token.

        ``PermanentError`` for a text of more than ``window_tokens``. ``ModelUnavailable`` when
        the model's files are missing or altered.
        """
        model = self._model()
        ids = model.tokenizer.ids(texts, special=False)
        refuse_longer([len(tokens) for tokens in ids], _WINDOW_TOKENS)
        vectors = np.empty((len(ids), _DIMENSIONS), np.float32)
        for row, tokens in enumerate(ids):
            vectors[row] = model.table[tokens or [_START_TOKEN]].mean(axis=0)
        return unit_rows(vectors, dimensions=_DIMENSIONS)

    def _model(self) -> _Model:
        with self._lock:
            if self._loaded is None:
                table = load_file(_checked(_WEIGHTS))["embedding.weight"].astype(np.float32)
                self._loaded = _Model(FileTokenizer(_checked(_TOKENIZER)), table)
            return self._loaded


def _checked(name: str) -> Path:
    spec = find_spec("wordllama")  # finds the folder, runs no code of it
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, name)
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256[name]:
            return path
    raise ModelUnavailable(
        f"WordLlama's file {name} is missing or was altered.",
        remedy="Run `make setup` to install the packaged models again.",
    )
