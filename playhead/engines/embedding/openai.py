"""Embedder for OpenAI's models and every OpenAI-compatible server (Ollama, vLLM, Azure).

It sends requests within the documented limits and validates the responses.
``providers/request_batching.py`` fills the requests.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np
import openai

from playhead.core.call_context import CallContext, batch_allowed, call_context
from playhead.core.errors import ModelUnavailable
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import Engine, Price
from playhead.core.text import replace_surrogates
from playhead.core.usage import Usage
from playhead.engines.embedding.validation import require_within_window
from playhead.providers.client_protocol import Deferrable, ProviderCall, ProviderClient, Reply
from playhead.providers.fallbacks import FallbackChain
from playhead.providers.model_catalog import Rates, VectorModel, batch_discount, estimate_price
from playhead.providers.openai_tokenizer import BpeTokenizer
from playhead.providers.request_batching import RequestLimits, pack_requests
from playhead.providers.response_parsing import (
    invalid_response,
    json_object,
    plain_headers,
    token_count,
)

#: Limits of one request, from OpenAI's reference. Other servers accept as much or refuse the
#: request with a specific error.
LIMITS: Final = RequestLimits(texts=2_048, tokens=300_000)

_PREPROCESSING: Final = 1  # increase it with every change to the text that is sent
_BLANK: Final = " "  # sent for an empty text, which OpenAI refuses
_UNIT_WITHIN: Final = 0.01  # OpenAI's vectors have length 1, except for rounding


class _Variant(NamedTuple):
    """The parameters of a request for vectors.

    base64 needs a quarter of the bytes of numbers and is exact.
    """

    encoding: str
    shorten: bool


class OpenAIEmbedder:
    """A thread-safe ``Embedder``.

    ``shortened`` is a number of dimensions below the model's own, or None for all. ``org`` is the
    organisation charged for the call that finds out the dimensions of an unknown model.
    """

    def __init__(
        self,
        provider_client: ProviderClient,
        client: openai.OpenAI,
        model: VectorModel,
        *,
        rates: Rates,
        org: str,
        shortened: int | None = None,
    ) -> None:
        self._provider_client = provider_client
        self._client = client
        self._model = model
        self._rates = rates
        self._org = org
        self._shortened = shortened
        self._dimensions = shortened or model.dimensions
        self._lock = Lock()
        self._fallbacks = FallbackChain(_variants(model, shortened))
        self.tokenizer = BpeTokenizer(model.encoding)
        self.tokens: str = model.encoding
        self.window_tokens = model.window_tokens

    @property
    def engine(self) -> Engine:
        parameters: dict[str, Any] = {"preprocessing": _PREPROCESSING}
        if self._shortened:
            parameters["dimensions"] = self._shortened
        return Engine(self._provider_client.provider, self._model.name, parameters)

    @property
    def price(self) -> Price:
        return estimate_price(self._rates, batch_discount(self._provider_client.provider))

    @property
    def dimensions(self) -> int:
        """Return the number of dimensions.

        For a model that is not in the catalog this makes one call.
        """
        with self._lock:
            if self._dimensions is None:
                with call_context(CallContext(self._org, "check of an engine")):
                    self._dimensions = self._vectors(["How many dimensions?"], [4]).shape[1]
            return self._dimensions

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        """Return the ranges of texts per request, each filled up to the limits.

        In batch mode each text is a request of its own: the provider's batch then recognises it in
        any later request, whichever other texts still lack a vector.
        """
        if batch_allowed():
            return [range(place, place + 1) for place in range(len(texts))]
        return list(pack_requests(self._counts(texts), LIMITS))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of ``texts``, of shape ``(len(texts), dimensions)``.

        The vectors are in the order of ``texts``; without texts no request is sent. Raises
        ``PermanentError`` for a text of more than ``window_tokens``, before anything is sent, and
        the errors of ``ProviderClient.execute``.
        """
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        counts = self._counts(texts)
        require_within_window(counts, self.window_tokens)
        sent = [replace_surrogates(text) or _BLANK for text in texts]
        parts = [
            self._vectors(sent[part.start : part.stop], counts[part.start : part.stop])
            for part in pack_requests(counts, LIMITS)
        ]
        return np.concatenate(parts)

    def _counts(self, texts: Sequence[str]) -> list[int]:
        return [self.tokenizer.count(text or _BLANK) for text in texts]

    def _vectors(self, texts: Sequence[str], counts: Sequence[int]) -> Vectors:
        vectors = self._fallbacks.call(lambda variant: self._call(texts, sum(counts), variant))
        if self._dimensions is not None and vectors.shape[1] != self._dimensions:
            raise ModelUnavailable(
                f"{self._model.name} returned {vectors.shape[1]} dimensions, "
                f"not {self._dimensions}.",
                remedy="Remove the number of dimensions after the @ from its name.",
            )
        return vectors

    def _call(self, texts: Sequence[str], tokens: int, variant: _Variant) -> Vectors:
        body: dict[str, Any] = {
            "input": list(texts),
            "model": self._model.name,
            "encoding_format": variant.encoding,
        }
        if variant.shorten:
            body["dimensions"] = self._shortened

        def read(content: bytes) -> Reply[Vectors]:
            reply = json_object(content)
            reported = token_count(reply.get("usage"), "prompt_tokens", "total_tokens")
            vectors = _parse(reply, content, len(texts), self._fix_norms)
            return Reply(vectors, Usage(tokens if reported is None else reported))

        def send() -> Reply[Vectors]:
            raw = self._client.embeddings.with_raw_response.create(**body)
            return replace(read(raw.content), headers=plain_headers(raw.headers))

        deferrable = Deferrable("/v1/embeddings", body, read)
        return self._provider_client.execute(
            ProviderCall("embeddings", self._model.name, Usage(tokens), send, deferrable)
        )

    @property
    def _fix_norms(self) -> int | None:
        """Return the number of dimensions that a valid response must have.

        It is None for a model that is not in the catalog, which guarantees nothing.
        """
        return self._dimensions if self._model.known else None


def _variants(model: VectorModel, shortened: int | None) -> list[_Variant]:
    shorten = [True, False] if shortened else [False]
    if model.known:
        return [_Variant("base64", shorten[0])]
    return [_Variant(encoding, short) for short, encoding in product(shorten, ("base64", "float"))]


def _parse(reply: Mapping[str, Any], content: bytes, count: int, dimensions: int | None) -> Vectors:
    """Return the vectors in the order of their texts, each normalised to length 1.

    ``dimensions`` is the number that the model guarantees, or None; a model that guarantees it also
    guarantees length 1. Raises ``InvalidProviderResponse`` for a response that breaks these
    guarantees.
    """
    rows = _rows_by_index(reply.get("data"), content, count)
    try:
        vectors = np.stack([_vector(row) for row in rows])
    except (TypeError, ValueError) as error:
        raise invalid_response(
            "has vectors that are invalid or of different lengths", content
        ) from error
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise invalid_response("has a vector that is zero or not a number", content)
    if dimensions is not None:
        if vectors.shape[1] != dimensions:
            raise invalid_response(f"has {vectors.shape[1]} dimensions, not {dimensions}", content)
        if (np.abs(lengths - 1) > _UNIT_WITHIN).any():
            raise invalid_response("has a vector that is not of length 1", content)
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit


def _rows_by_index(data: Any, content: bytes, count: int) -> list[Any]:
    """Return the embeddings in the order of ``index``, the only place that states the order."""
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise invalid_response("has no vectors", content)
    rows = {str(row.get("index")): row.get("embedding") for row in data}
    positions = [str(position) for position in range(count)]
    if len(data) != count or rows.keys() != set(positions):
        raise invalid_response(
            f"has {len(data)} vectors for {count} texts, or not one per text", content
        )
    return [rows[position] for position in positions]


def _vector(embedding: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4").astype(np.float64)
    vector = np.array(embedding, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError("no vector")
    return vector
