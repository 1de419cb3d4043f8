"""The local embedder all-MiniLM-L6-v2: 384 dimensions, CTranslate2, int8.

It follows sentence-transformers for this model: the mean over all tokens including [CLS] and [SEP],
then normalisation to length 1. The files come from ``playhead/core/packaged_models.py`` and are
converted by ``bert_conversion.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from playhead.core.errors import ModelUnavailable
from playhead.core.packaged_models import minilm_folder, weights_sha256
from playhead.core.protocols.embedder import Vectors, by_count
from playhead.core.records import FREE, Engine
from playhead.engines.embedding.tokenizer import FileTokenizer
from playhead.engines.embedding.validation import require_unit_rows, require_within_window

if TYPE_CHECKING:
    import ctranslate2

_MODEL = f"all-MiniLM-L6-v2@{weights_sha256('minilm')[:12]}"
_QUANTISATION = "int8"
_DIMENSIONS = 384
_SPECIAL_TOKENS = 2  # [CLS] and [SEP]
_WINDOW_TOKENS = 256 - _SPECIAL_TOKENS  # max_seq_length in the model's own sentence_bert_config
_THREADS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: FileTokenizer
    encoder: ctranslate2.Encoder


class MiniLM:
    """The default embedder; it loads its model at the first text and is thread-safe.

    The vector of a text depends on the text alone, not on the texts embedded with it: each text is
    a batch of its own, and several run in parallel, one thread per core. (In int8, texts padded
    into shared batches changed by up to 0.01 per element, at half the speed.)
    """

    def __init__(self, *, cache: Path) -> None:
        """Create the embedder without loading its model.

        ``cache`` is a folder for the converted weights (24 MB), created at the first use.
        """
        self._cache = cache
        self._lock = threading.Lock()
        self._loaded: _Model | None = None

    price = FREE
    tokens = _MODEL

    @property
    def engine(self) -> Engine:
        parameters = {"quantisation": _QUANTISATION, "pooling": "mean", "preprocessing": 1}
        return Engine(name="ctranslate2", model=_MODEL, parameters=parameters)

    @property
    def dimensions(self) -> int:
        return _DIMENSIONS

    @property
    def window_tokens(self) -> int:
        return _WINDOW_TOKENS

    @property
    def tokenizer(self) -> FileTokenizer:
        return self._model().tokenizer

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        return by_count(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of ``texts``, of shape ``(len(texts), 384)``, in their order.

        A blank text has a vector, too: that of [CLS] and [SEP] alone.

        Raises ``PermanentError`` for a text of more than ``window_tokens``: split it first where
        the first excess token starts, at ``tokenizer.offsets(text)[window_tokens][0]``. Raises
        ``ModelUnavailable`` if the model's files are missing, altered or cannot be converted.
        """
        model = self._model()
        ids = model.tokenizer.ids(texts, special=True)
        require_within_window([len(tokens) - _SPECIAL_TOKENS for tokens in ids], _WINDOW_TOKENS)
        vectors = np.empty((len(ids), _DIMENSIONS), np.float32)
        with ThreadPoolExecutor(_THREADS) as pool:
            for row, mean in enumerate(pool.map(lambda tokens: _mean(model.encoder, tokens), ids)):
                vectors[row] = mean
        return require_unit_rows(vectors, dimensions=_DIMENSIONS)

    def _model(self) -> _Model:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._cache)
            return self._loaded


def _mean(encoder: ctranslate2.Encoder, tokens: list[int]) -> Vectors:
    hidden: Vectors = np.asarray(encoder.forward_batch([tokens]).last_hidden_state)
    mean: Vectors = hidden[0].mean(axis=0)
    return mean


def _load(cache: Path) -> _Model:
    import ctranslate2  # imported here, so that naming the engine costs nothing

    from playhead.engines.embedding.bert_conversion import convert_once

    source = minilm_folder()
    folder = cache / f"{_MODEL}-{_QUANTISATION}".lower()
    try:
        convert_once(source, folder, quantisation=_QUANTISATION)
        encoder = ctranslate2.Encoder(
            str(folder), compute_type="int8", inter_threads=_THREADS, intra_threads=1
        )
    except OSError as error:
        raise ModelUnavailable(
            f"MiniLM's weights cannot be written to {cache}: {error}",
            remedy="Make the folder writable and free 50 MB there.",
        ) from error
    except RuntimeError as error:  # CTranslate2 raises it for any unusable file
        raise ModelUnavailable(
            f"MiniLM's translated weights in {folder} are damaged: {error}",
            remedy=f"Delete {folder}; it is created again.",
        ) from error
    return _Model(FileTokenizer(source / "tokenizer.json"), encoder)
